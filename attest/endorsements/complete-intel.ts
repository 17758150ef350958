import { certificateNames, type Tee } from '#attest/dcap/layout.js'
import { readPck } from '#attest/dcap/pck.js'
import { parseQuote } from '#attest/dcap/quote.js'
import type { Chooser } from '#attest/endorsements/choose.js'
import type { CollateralItem } from '#attest/endorsements/item.js'
import { type CollateralName, type EndorsementCode, formatName } from '#attest/endorsements/names.js'
import { fromBase64, toBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure } from '#core/failure.js'
import type { DcapCollateral } from '#core/wire/evidence.js'
import { commonName, parseCertificate } from '#core/x509/certificate.js'

/** What a quote says of the collateral that it needs: names for looking up, nothing of it verified. */
interface Machine {
  readonly tee: Tee
  readonly fmspc: string
  readonly ca: 'platform' | 'processor'
  readonly caDer: Uint8Array
  readonly rootDer: Uint8Array
  readonly root: string
}

/** @throws dcap/..., x509/... */
export function machineOf(quoteBytes: Uint8Array): Machine {
  const quote = parseQuote(quoteBytes)
  const [leaf, caDer, rootDer] = quote.chain
  const ca = commonName(parseCertificate(caDer, 'PCK CA certificate').subject)
  const spki = parseCertificate(rootDer, 'root certificate').spki
  return {
    tee: quote.tee,
    fmspc: toHex(readPck(parseCertificate(leaf, 'PCK certificate')).fmspc),
    ca: ca === certificateNames.ca[1] ? 'processor' : 'platform',
    caDer,
    rootDer,
    root: toHex(sha256(spki)),
  }
}

/** The documents that a quote is verified with, the list of the root first. */
export function intelNames({ tee, fmspc, ca }: Pick<Machine, 'tee' | 'fmspc' | 'ca'>) {
  return {
    rootCrl: { kind: 'intel-root-crl' },
    pckCrl: { kind: 'intel-pck-crl', ca },
    tcbInfo: { kind: 'intel-tcb-info', tee, fmspc },
    qeIdentity: { kind: 'intel-qe-identity', tee },
  } as const satisfies Readonly<Record<string, CollateralName>>
}

/**
 * TCB info, identity and both lists for a quote: each the one that came along, or the one that is held where that is newer.
 *
 * throws  collateral/absent, and those of reading quote and certificates: dcap/..., x509/...
 */
export async function completeIntel(
  quoteBytes: Uint8Array,
  sent: DcapCollateral | null,
  chooser: Chooser,
): Promise<DcapCollateral> {
  const machine = machineOf(quoteBytes)
  const names = intelNames(machine)
  const choose = async (name: CollateralName, body: string | undefined, chain: readonly Uint8Array[]) => {
    const item: CollateralItem | null = body === undefined ? null : { name, body: fromBase64(body), chain }
    const chosen = await chooser.choose(name, machine.root, item)
    if (chosen !== null) return chosen
    const message = `the evidence comes without ${formatName(name)}, which is not held here`
    const hint = 'send the collateral along, or have it fetched or imported here'
    throw new Failure<EndorsementCode>('collateral/absent', message, { detail: { hint } })
  }
  const { caDer, rootDer } = machine
  const signed = (signer: string | undefined) => (signer === undefined ? [] : [fromBase64(signer), rootDer])
  const rootCrl = await choose(names.rootCrl, sent?.rootCrl, [rootDer])
  const pckCrl = await choose(names.pckCrl, sent?.pckCrl, [caDer, rootDer])
  const tcbInfo = await choose(names.tcbInfo, sent?.tcbInfo, signed(sent?.tcbInfoSigner))
  const qeIdentity = await choose(names.qeIdentity, sent?.qeIdentity, signed(sent?.qeIdentitySigner))
  return {
    tcbInfo: toBase64(tcbInfo.body),
    tcbInfoSigner: toBase64(tcbInfo.chain[0]!),
    qeIdentity: toBase64(qeIdentity.body),
    qeIdentitySigner: toBase64(qeIdentity.chain[0]!),
    pckCrl: toBase64(pckCrl.body),
    rootCrl: toBase64(rootCrl.body),
  }
}
