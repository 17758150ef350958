import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseQuote } from '#attest/dcap/quote.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { type CollateralName, formatName } from '#attest/endorsements/names.js'
import type { Product } from '#attest/snp/layout.js'
import { fromBase64, toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { encodePem } from '#core/encoding/pem.js'
import type { SnpEvidence } from '#core/wire/evidence.js'
import { productDefaults } from '#runtime/attester/simulated/report.js'
import { type DcapBreakage, mintDcap } from './dcap.js'
import { type MintRim, mintRim } from './gpu-rim.js'
import { type Breakage, mintEvidence } from './snp.js'

/** How a vendor's service answers one path. */
export type Answer = (request: IncomingMessage, response: ServerResponse) => void

/** A vendor's service on this machine: answers by path and query, and how often each was asked. */
export interface VendorServer {
  readonly url: string
  readonly asked: Map<string, number>
  readonly bodies: Map<string, Uint8Array>
  /** by path and query; `*` for whatever has no answer of its own, which is 404 without it */
  readonly answers: Map<string, Answer>
  close(): Promise<void>
}

export async function startVendor(): Promise<VendorServer> {
  const answers = new Map<string, Answer>()
  const asked = new Map<string, number>()
  const bodies = new Map<string, Uint8Array>()
  const server = createServer((request, response) => {
    const path = request.url ?? ''
    asked.set(path, (asked.get(path) ?? 0) + 1)
    const parts: Uint8Array[] = []
    request.on('data', (part: Uint8Array) => void parts.push(part))
    request.on('end', () => {
      bodies.set(path, new Uint8Array(Buffer.concat(parts)))
      const answer = answers.get(path) ?? answers.get('*') ?? status(404)
      answer(request, response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    bodies,
    answers,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

export const gives =
  (body: Uint8Array | string, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_, response) =>
    void response.writeHead(200, headers).end(body)
export const status =
  (code: number, headers: Readonly<Record<string, string>> = {}): Answer =>
  (_, response) =>
    void response.writeHead(code, headers).end('no')
export const hangs: Answer = () => undefined
/** Sends the head and a byte, and then nothing. */
export const stalls: Answer = (_, response) => {
  response.writeHead(200)
  response.write('x')
}
/** Says how long its body is and ends before. */
export const isCut: Answer = (_, response) => {
  response.writeHead(200, { 'content-length': '1000' })
  response.write('x')
  setImmediate(() => response.destroy())
}
/** Never stops sending. */
export const floods: Answer = (_, response) => {
  response.writeHead(200)
  const more = () => {
    while (!response.destroyed && response.write('x'.repeat(65_536)));
    if (!response.destroyed) response.once('drain', more)
  }
  more()
}

export const testFmspc = '90c06f000000'

/** Everything that a minted vendor of Intel's kind gives out, as documents of its name. */
export async function intelDocuments(broken: DcapBreakage = {}) {
  const tdx = await mintDcap(broken)
  const sgx = await mintDcap({ ...broken, tee: 'sgx' })
  const ca = parseQuote(tdx.quote).chain[1]
  const documents = (tee: 'tdx' | 'sgx', minted: typeof tdx): readonly CollateralItem[] => [
    { name: { kind: 'intel-tcb-info', tee, fmspc: testFmspc }, body: minted.tcbInfo, chain: [tdx.signer, tdx.root] },
    { name: { kind: 'intel-qe-identity', tee }, body: minted.qeIdentity, chain: [tdx.signer, tdx.root] },
  ]
  const items: readonly CollateralItem[] = [
    { name: { kind: 'intel-root-crl' }, body: tdx.rootCrl, chain: [tdx.root] },
    { name: { kind: 'intel-pck-crl', ca: 'platform' }, body: tdx.pckCrl, chain: [ca, tdx.root] },
    ...documents('tdx', tdx),
    ...documents('sgx', sgx),
  ]
  return { items, root: tdx.root, quote: tdx.quote, sgxQuote: sgx.quote }
}

const chainHeader = (chain: readonly Uint8Array[]) =>
  encodeURIComponent(chain.map((one) => encodePem(one, 'CERTIFICATE')).join(''))

/** The server answers as Intel's service does. */
export function serveIntel(server: VendorServer, items: readonly CollateralItem[]): void {
  for (const { name, body, chain } of items) {
    const header = chainHeader(chain)
    const give = (path: string, headerName: string) => server.answers.set(path, gives(body, { [headerName]: header }))
    if (name.kind === 'intel-root-crl') server.answers.set('/sgx/certification/v4/rootcacrl', gives(utf8(toHex(body))))
    if (name.kind === 'intel-pck-crl')
      give(`/sgx/certification/v4/pckcrl?ca=${name.ca}&encoding=der`, 'SGX-PCK-CRL-Issuer-Chain')
    if (name.kind === 'intel-tcb-info')
      give(`/${name.tee}/certification/v4/tcb?fmspc=${name.fmspc}`, 'TCB-Info-Issuer-Chain')
    if (name.kind === 'intel-qe-identity')
      give(`/${name.tee}/certification/v4/qe/identity`, 'SGX-Enclave-Identity-Issuer-Chain')
  }
}

/** The name of the VCEK of the minted machine of a product. */
export function vcekName(product: Product): Extract<CollateralName, { readonly kind: 'amd-vcek' }> {
  const { fmc = null, bootLoader, tee, snp, microcode } = productDefaults[product].tcb
  const hwId = '5a'.repeat(product === 'Turin' ? 8 : 64)
  const tcb = { fmc: product === 'Turin' ? fmc : null, bootLoader, tee, snp, microcode }
  return { kind: 'amd-vcek', product, hwId, tcb }
}

/** Everything that a minted vendor of AMD's kind gives out for one product. */
export async function amdDocuments(broken: Breakage = {}) {
  const { product = 'Genoa' } = broken
  const evidence: SnpEvidence = await mintEvidence(broken)
  const [vek, ask, ark] = [evidence.vek, evidence.ask, evidence.ark].map((one) => fromBase64(one)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ]
  const crl: readonly CollateralItem[] =
    evidence.crl === null
      ? []
      : [{ name: { kind: 'amd-crl', product, key: 'vcek' }, body: fromBase64(evidence.crl), chain: [ark] }]
  const items: readonly CollateralItem[] = [
    { name: { kind: 'amd-ask', product, key: 'vcek' }, body: ask, chain: [ark] },
    ...crl,
    { name: vcekName(product), body: vek, chain: [ask, ark] },
  ]
  return { items, evidence }
}

/** The server answers as AMD's service does. */
export function serveAmd(server: VendorServer, items: readonly CollateralItem[]): void {
  for (const { name, body, chain } of items) {
    if (name.kind === 'amd-ask') {
      const pem = [body, ...chain].map((one) => encodePem(one, 'CERTIFICATE')).join('')
      server.answers.set(`/${name.key}/v1/${name.product}/cert_chain`, gives(pem))
    }
    if (name.kind === 'amd-crl') server.answers.set(`/${name.key}/v1/${name.product}/crl`, gives(body))
    if (name.kind !== 'amd-vcek') continue
    const two = (value: number) => String(value).padStart(2, '0')
    const { fmc, bootLoader, tee, snp, microcode } = name.tcb
    const query = `blSPL=${two(bootLoader)}&teeSPL=${two(tee)}&snpSPL=${two(snp)}&ucodeSPL=${two(microcode)}`
    const fmcQuery = fmc === null ? '' : `fmcSPL=${two(fmc)}&`
    server.answers.set(`/vcek/v1/${name.product}/${name.hwId}?${fmcQuery}${query}`, gives(body))
  }
}

export const testRimId = 'NV_GPU_DRIVER_GH100_550.90.07'

/** A minted RIM of a driver. */
export async function rimDocument(rim: Partial<MintRim> = {}): Promise<CollateralItem> {
  const body = await mintRim({ version: '550.90.07', product: 'GH100', golden: { 0: ['ab'.repeat(48)] }, ...rim })
  return { name: { kind: 'nvidia-rim', id: testRimId }, body, chain: [] }
}

/** The server answers as NVIDIA's RIM service does. */
export function serveRim(server: VendorServer, { name, body }: CollateralItem, change: object = {}): void {
  const id = formatName(name).split('/')[2]!
  const answer = { id, rim: toBase64(body), sha256: toHex(sha256(body)), rim_format: 'TCG_RIM', ...change }
  server.answers.set(`/v1/rim/${id}`, gives(JSON.stringify(answer)))
}
