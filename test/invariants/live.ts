import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { chainPlaces } from '#cli/chain.js'
import { type RunningNode, type StartNodeOptions, startNode } from '#cli/start-node.js'
import { toHex } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { generateHybridKey, generateRecipientKey } from '#core/crypto/hpke.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { parseJson } from '#core/encoding/json.js'
import { manifestDigest } from '#core/sealed/manifest.js'
import { manifestName } from '#core/sealed/signature.js'
import { type Binding, documentDigest, noDevicesDigest, reportDataOf } from '#core/wire/binding.js'
import { type Keyset, keysetDigest } from '#core/wire/keyset.js'
import { apiVersion, hostDeclarationShape, type ReleaseRequest } from '#core/wire/release.js'
import type { RuntimeConfig } from '#core/wire/runtime-config.js'
import { payloadDigest } from '#core/wire/statements.js'
import { createLog } from '#host/log.js'
import type { Attester } from '#runtime/ports.js'
import type { TestChain } from '#test/e2e/fixtures.js'
import { nowSeconds, openOwner, post } from '#test/invariants/fixtures.js'

/** What a host that speaks for itself would send to the chain's broker: keys of its own, evidence of the chain's machine. */
export interface Asking {
  readonly releaseKey: Awaited<ReturnType<typeof generateHybridKey>>
  challenge(): Promise<string>
  /** a release request that is right in every part, but for what is changed before the evidence is made */
  request(
    nonce: string,
    part?: { binding?: Partial<Binding>; config?: Partial<RuntimeConfig> },
  ): Promise<ReleaseRequest>
  release(request: unknown): ReturnType<typeof post>
}

export function asking({ chain, options }: TestChain): Promise<Asking> {
  return askingAt(options.folder, { url: chain.stack.url, broker: chain.stack.broker }, chain.attester)
}

/** The same at the chain of another process, with the machine whose keys lie in that chain's folder. */
export async function askingAt(
  folder: string,
  stack: { readonly url: string; readonly broker: string },
  attester: Attester,
): Promise<Asking> {
  const at = chainPlaces(folder)
  const owner = await openOwner(folder, stack.url)
  const host = hostDeclarationShape(parseJson(await readFile(at.host)), 'host')
  const digest = manifestDigest(new Uint8Array(await readFile(join(at.sealed, manifestName))))
  const trust = (await owner.heads()).find((one) => one.kind === 'trust')!
  const releaseKey = await generateHybridKey()
  const { key: receipt } = await generateSigningKey('Ed25519')
  const keyset: Keyset = {
    type: 'claviger/keyset/v1',
    suite: 'DHKEM-X25519-HKDF-SHA256/HKDF-SHA256/AES-256-GCM',
    release: releaseKey.publicKey,
    request: (await generateRecipientKey()).publicKey,
    receipt: receipt.publicKey as Ed25519Jwk,
    tls: null,
    landmark: null,
    notAfter: nowSeconds() + 3600,
  }
  return {
    releaseKey,
    async challenge() {
      const asked = { version: apiVersion, model: owner.model, renewal: null }
      const { status, body } = await post(stack.url, '/v1/challenges', asked)
      if (status !== 200) throw new Error(`no challenge: ${JSON.stringify(body)}`)
      return body.nonce as string
    },
    async request(nonce, part = {}) {
      const config: RuntimeConfig = {
        type: 'claviger/runtime-config/v1',
        model: owner.model,
        broker: stack.broker,
        otherBrokers: undefined,
        purpose: undefined,
        hostStatement: payloadDigest(host.statement),
        dangerousAllowInspection: false,
        dangerousAllowPlain: false,
        dangerousAllowSimulated: true,
        engineConfinement: 'unconfined',
        leaks: [],
        requestSizeMax: 1_000_000,
        ...part.config,
      }
      const binding: Binding = {
        purpose: 'claviger.release.v1',
        audience: stack.broker,
        model: owner.model,
        nonce,
        keyset_digest: keysetDigest(keyset),
        devices_digest: noDevicesDigest,
        config_digest: documentDigest(config),
        trust_digest: trust.digest,
        ...part.binding,
      }
      return {
        version: apiVersion,
        requestId: toHex(randomBytes(16)),
        binding,
        evidence: await attester.attest(reportDataOf(binding)),
        keyset,
        config,
        modelVersion: 1,
        manifestDigest: digest,
        host,
        lease: null,
        counter: undefined,
        presented: undefined,
      }
    },
    release: (request) => post(stack.url, '/v1/releases', request),
  }
}

/** Who sits between a node and its broker, or a client and its node, and changes what passes. */
export interface Between {
  readonly url: string
  /** bodies that passed on the way there, as text */
  readonly seen: string[]
  close(): Promise<void>
}

export type Change = (answer: { path: string; status: number; text: string }) => { status: number; text: string }

export async function between(target: () => string, change: Change): Promise<Between> {
  const seen: string[] = []
  const server: Server = createServer((incoming, outgoing) => {
    const pass = async () => {
      const parts: Buffer[] = []
      for await (const part of incoming) parts.push(part as Buffer)
      const body = Buffer.concat(parts)
      seen.push(body.toString('latin1'))
      const path = incoming.url ?? '/'
      const answer = await fetch(new URL(path, target()), {
        method: incoming.method ?? 'GET',
        headers: { 'content-type': incoming.headers['content-type'] ?? 'application/octet-stream' },
        ...(incoming.method === 'GET' ? {} : { body }),
      })
      const text = Buffer.from(await answer.arrayBuffer()).toString('latin1')
      const { status, text: sent } = change({ path, status: answer.status, text })
      outgoing.writeHead(status, { 'content-type': answer.headers.get('content-type') ?? 'application/json' })
      outgoing.end(Buffer.from(sent, 'latin1'))
    }
    pass().catch(() => outgoing.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}

/** Changes one member of a JSON answer on one path, and lets all else pass. */
export function changing(path: string, edit: (value: Record<string, unknown>) => void): Change {
  return (answer) => {
    if (!answer.path.startsWith(path) || answer.status !== 200) return answer
    const value = JSON.parse(Buffer.from(answer.text, 'latin1').toString('utf8')) as Record<string, unknown>
    edit(value)
    return { status: 200, text: Buffer.from(JSON.stringify(value)).toString('latin1') }
  }
}

/** One more node of the chain, on the same machine and sealed folder. */
export async function oneMoreNode(one: TestChain, part: Partial<StartNodeOptions> = {}): Promise<RunningNode> {
  const at = chainPlaces(one.options.folder)
  return startNode({
    model: null,
    brokerUrl: one.chain.stack.url,
    sealed: at.sealed,
    trust: null,
    broker: one.chain.stack.broker,
    host: hostDeclarationShape(parseJson(await readFile(at.host)), 'host'),
    attester: one.chain.attester,
    listen: { host: '127.0.0.1', port: 0 },
    dangerousAllowSimulated: true,
    dangerousAllowInspection: false,
    dangerousAllowPlain: false,
    threads: 1,
    log: createLog('node', 'error'),
    report: () => undefined,
    ...part,
  })
}
