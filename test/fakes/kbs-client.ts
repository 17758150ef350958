import {
  constants,
  createDecipheriv,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
} from 'node:crypto'

/**
 * A client of the KBS protocol that imports nothing of ours: it does what the Confidential Containers client does, as
 * guest-components v0.21.0 has it, its re-serialised JWE header included.
 */
export type ClientKeyKind = 'P-256' | 'P-521' | 'RSA'

export interface ClientKey {
  readonly kind: ClientKeyKind
  readonly privateKey: KeyObject
  readonly jwk: Record<string, string>
}

export function clientKey(kind: ClientKeyKind): ClientKey {
  if (kind === 'RSA') {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const { n, e } = publicKey.export({ format: 'jwk' })
    return { kind, privateKey, jwk: { kty: 'RSA', alg: 'RSA-OAEP-256', n: n!, e: e! } }
  }
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: kind })
  const { x, y } = publicKey.export({ format: 'jwk' })
  return { kind, privateKey, jwk: { kty: 'EC', crv: kind, alg: 'ECDH-ES+A256KW', x: x!, y: y! } }
}

type Value = string | number | boolean | null | readonly Value[] | { readonly [name: string]: Value }

/** RFC 8785 for what a client hashes: strings and objects. */
export function jcs(value: Value): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(jcs).join(',')}]`
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${jcs(member)}`).join(',')}}`
}

/** The 64 bytes that the client puts into its report. */
export function clientReportData(nonce: string, jwk: Record<string, string>, additional = ''): Uint8Array {
  const text = jcs({ 'additional-evidence': additional, nonce, 'tee-pubkey': jwk })
  return Buffer.concat([createHash('sha384').update(text).digest(), Buffer.alloc(16)])
}

const numbers = (bytes: Uint8Array) => [...bytes]

/** The serde form of the sev crate's AttestationReport. */
export function reportStruct(bytes: Uint8Array): Record<string, unknown> {
  const report = Buffer.from(bytes)
  const at = (offset: number, size: number) => numbers(report.subarray(offset, offset + size))
  // Turin's TCB begins with the FMC; its CPUs are of family 1Ah.
  const turin = report[0x188] === 0x1a
  const tcb = (offset: number) => {
    const b = report.subarray(offset, offset + 8)
    return turin
      ? { fmc: b[0], bootloader: b[1], tee: b[2], snp: b[3], microcode: b[7] }
      : { fmc: null, bootloader: b[0], tee: b[1], snp: b[6], microcode: b[7] }
  }
  const firmware = (offset: number) => ({
    major: report[offset + 2],
    minor: report[offset + 1],
    build: report[offset],
  })
  const version = report.readUInt32LE(0)
  const cpuid = (offset: number) => (version >= 3 ? report[offset] : null)
  return {
    version,
    guest_svn: report.readUInt32LE(4),
    policy: report.readBigUInt64LE(8),
    family_id: at(0x10, 16),
    image_id: at(0x20, 16),
    vmpl: report.readUInt32LE(0x30),
    sig_algo: report.readUInt32LE(0x34),
    current_tcb: tcb(0x38),
    plat_info: report.readBigUInt64LE(0x40),
    key_info: report.readUInt32LE(0x48),
    report_data: at(0x50, 64),
    measurement: at(0x90, 48),
    host_data: at(0xc0, 32),
    id_key_digest: at(0xe0, 48),
    author_key_digest: at(0x110, 48),
    report_id: at(0x140, 32),
    report_id_ma: at(0x160, 32),
    reported_tcb: tcb(0x180),
    cpuid_fam_id: cpuid(0x188),
    cpuid_mod_id: cpuid(0x189),
    cpuid_step: cpuid(0x18a),
    chip_id: at(0x1a0, 64),
    committed_tcb: tcb(0x1e0),
    current: firmware(0x1e8),
    committed: firmware(0x1ec),
    launch_tcb: tcb(0x1f0),
    ...(version >= 5
      ? { launch_mit_vector: report.readBigUInt64LE(0x1f8), current_mit_vector: report.readBigUInt64LE(0x200) }
      : {}),
    signature: { r: at(0x2a0, 72), s: at(0x2e8, 72) },
  }
}

/** JSON as serde writes it: numbers of 64 bits in full. */
export function serde(value: unknown): string {
  const big: string[] = []
  const text = JSON.stringify(value, (_, one) => {
    if (typeof one !== 'bigint') return one
    big.push(one.toString())
    return `@big${big.length - 1}@`
  })
  return text.replace(/"@big(\d+)@"/g, (_, i) => big[Number(i)]!)
}

export interface Certificates {
  readonly [type: string]: Uint8Array
}

const hexOf = (text: string) => Buffer.from(text, 'base64').toString('hex')
// Padded, as serde_with writes it.
const urlSafe = (text: string) => text.replaceAll('+', '-').replaceAll('/', '_')

/** Evidence of a kind as its attester writes it, from an envelope whose collateral stays behind. */
export function primaryEvidence(evidence: { readonly kind: string } & Record<string, unknown>, version = 1): Value {
  const at = (name: string) => evidence[name] as string
  if (evidence.kind === 'tdx') return { cc_eventlog: (evidence.eventLog ?? null) as string | null, quote: at('quote') }
  if (evidence.kind === 'sgx') return { quote: at('quote') }
  const pcrs = Object.values(evidence.pcrs as Record<string, string>).map(hexOf)
  const vtpm = {
    version,
    tpm_quote: { signature: hexOf(at('tpmSignature')), message: hexOf(at('tpmQuote')), pcrs },
    hcl_report: urlSafe(at('hclReport')),
  }
  return evidence.kind === 'azure-snp'
    ? { ...vtpm, vcek: urlSafe(at('vek')) }
    : { ...vtpm, td_quote: urlSafe(at('quote')) }
}

/** The body of `/attest` around evidence of any kind. */
export function attestationOf(
  nonce: string,
  jwk: Record<string, string>,
  primary: Value,
  initData: { readonly format: string; readonly body: string } | null = null,
): string {
  return JSON.stringify({
    'init-data': initData,
    'runtime-data': { nonce, 'tee-pubkey': jwk },
    'tee-evidence': { primary_evidence: primary, additional_evidence: '' },
  })
}

/** The body of `/attest`. */
export function attestation(
  nonce: string,
  jwk: Record<string, string>,
  report: Uint8Array,
  certificates: Certificates,
  more: { additional?: string; initData?: unknown; omitInitData?: boolean } = {},
): string {
  const chain = Object.entries(certificates).map(([cert_type, data]) => ({ cert_type, data: numbers(data) }))
  return serde({
    ...(more.omitInitData ? {} : { 'init-data': more.initData ?? null }),
    'runtime-data': { nonce, 'tee-pubkey': jwk },
    'tee-evidence': {
      primary_evidence: { attestation_report: reportStruct(report), cert_chain: chain },
      additional_evidence: more.additional ?? '',
    },
  })
}

/** The header written again: members in the order of their struct, those of `epk` sorted, as serde_json's map is. */
function reserialise(header: Record<string, unknown>): string {
  const { alg, enc, ...rest } = header
  const parts = [`"alg":${JSON.stringify(alg)}`, `"enc":${JSON.stringify(enc)}`]
  for (const name of Object.keys(rest).sort()) parts.push(`${JSON.stringify(name)}:${jcs(rest[name] as Value)}`)
  return `{${parts.join(',')}}`
}

const b64 = (text: string) => {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) throw new Error(`not unpadded base64url: ${text.slice(0, 20)}`)
  return Buffer.from(text, 'base64url')
}

function contentKey(key: ClientKey, header: Record<string, unknown>, encrypted: Buffer): Buffer {
  if (key.kind === 'RSA') {
    const padding = constants.RSA_PKCS1_OAEP_PADDING
    return privateDecrypt({ key: key.privateKey, padding, oaepHash: 'sha256' }, encrypted)
  }
  const publicKey = createPublicKey({ key: header.epk as never, format: 'jwk' })
  const z = diffieHellman({ privateKey: key.privateKey, publicKey })
  const u32 = (n: number) => Buffer.from(Uint32Array.of(n).buffer).swap32()
  const id = Buffer.from('ECDH-ES+A256KW')
  const kek = createHash('sha256')
    .update(Buffer.concat([u32(1), z, u32(id.length), id, u32(0), u32(0), u32(256)]))
    .digest()
  const unwrap = createDecipheriv('id-aes256-wrap', kek, Buffer.alloc(8, 0xa6))
  return Buffer.concat([unwrap.update(encrypted), unwrap.final()])
}

/** The resource in an answer; throws when the tag does not fit the header as this client writes it. */
export function openJwe(key: ClientKey, text: string): Buffer {
  const jwe = JSON.parse(text) as Record<string, string>
  if (Object.keys(jwe).sort().join() !== 'ciphertext,encrypted_key,iv,protected,tag')
    throw new Error('members of the JWE')
  const header = JSON.parse(b64(jwe.protected!).toString()) as Record<string, unknown>
  const decipher = createDecipheriv('aes-256-gcm', contentKey(key, header, b64(jwe.encrypted_key!)), b64(jwe.iv!))
  decipher.setAAD(Buffer.from(Buffer.from(reserialise(header)).toString('base64url')))
  decipher.setAuthTag(b64(jwe.tag!))
  return Buffer.concat([decipher.update(b64(jwe.ciphertext!)), decipher.final()])
}
