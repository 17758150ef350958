import { appraiseEvidence } from '#attest/appraise.js'
import { issueEar } from '#attest/ear/issue.js'
import { fromBase64Url, fromUtf8, toBase64Url, utf8 } from '#core/bytes/bytes.js'
import { generateSigningKey, type SigningKey, sign } from '#core/crypto/sign.js'
import { canonicalJson, type Json } from '#core/encoding/json.js'
import { earLifetimeSeconds } from '#core/wire/ear.js'
import { testReferenceValues, testTime } from './platform.js'
import { mintEvidence, mintedReportData } from './snp.js'

/** One EAR with what a reader must make of it. `expect` is `ok` or a failure code. */
export interface EarVector {
  readonly name: string
  readonly expect: string
  readonly audience: string
  readonly at: number
  readonly keys: readonly Json[]
  readonly token: string
}
interface Members {
  [name: string]: unknown
}

const audience = 'A'.repeat(43)

/** The token with other claims or another header, signed again by `key`. */
async function resigned(token: string, key: SigningKey, change: (payload: Members) => void, header: Members = {}) {
  const payload = JSON.parse(fromUtf8(fromBase64Url(token.split('.')[1]!))) as Members
  change(payload)
  const alg = key.algorithm === 'ES256' ? 'ES256' : 'EdDSA'
  const head = toBase64Url(canonicalJson({ typ: 'JWT', alg, kid: key.id, ...header }))
  const signed = `${head}.${toBase64Url(canonicalJson(payload))}`
  return `${signed}.${toBase64Url(await sign(key, utf8(signed)))}`
}
const cpu = (payload: Members) => (payload.submods as { cpu0: Members }).cpu0

/** Every failure of verifyEar, and good tokens of both algorithms. Keys and signatures are new in each run. */
export async function mintEarVectors(): Promise<readonly EarVector[]> {
  const at = testTime
  const ed = (await generateSigningKey('Ed25519')).key
  const es = (await generateSigningKey('ES256')).key
  const given = { expectedReportData: mintedReportData, referenceValues: testReferenceValues(), at }
  const result = await appraiseEvidence(
    await mintEvidence(),
    { simulatedRoots: [] },
    { ...given, tenantClass: 'production' },
  )
  const input = {
    issuer: 'https://verifier.example',
    audience,
    nonce: 'B'.repeat(43),
    id: 'C'.repeat(22),
    keyThumbprint: 'D'.repeat(43),
    keysetDigest: '11'.repeat(32),
    build: '0.1.0',
  }
  const token = await issueEar(result, input, ed)
  const altered = (claims: Members, header: Members = {}) =>
    resigned(token, ed, (payload) => Object.assign(payload, claims), header)
  const inCpu = (claims: Members) => resigned(token, ed, (payload) => Object.assign(cpu(payload), claims))
  const rows: readonly (readonly [name: string, expect: string, token: string, at?: number])[] = [
    ['eddsa', 'ok', token],
    ['es256', 'ok', await issueEar(result, input, es)],
    ['a-minute-early', 'ok', token, at - 60],
    ['a-minute-late', 'ok', token, at + earLifetimeSeconds + 60],
    ['two-parts', 'ear/form', token.slice(0, token.lastIndexOf('.'))],
    ['key-in-the-header', 'ear/form', await altered({}, { jwk: { kty: 'OKP' } })],
    ['algorithm-none', 'ear/form', await altered({}, { alg: 'none' })],
    ['algorithm-of-another-key', 'ear/algorithm', await altered({}, { alg: 'ES256' })],
    ['unknown-key', 'ear/key', await altered({}, { kid: 'Z'.repeat(43) })],
    [
      'signed-by-another-key',
      'ear/signature',
      await resigned(token, es, () => undefined, { alg: 'EdDSA', kid: ed.id }),
    ],
    ['unknown-claim', 'ear/claims', await altered({ admin: true })],
    ['no-nonce', 'ear/claims', await resigned(token, ed, (payload) => delete payload.eat_nonce)],
    ['no-hardware-claim', 'ear/claims', await resigned(token, ed, (payload) => delete payload.claviger_hardware)],
    ['two-spellings-differ', 'ear/names-differ', await inCpu({ ear_status: 'affirming' })],
    ['status-better-than-vector', 'ear/status', await inCpu({ ear_status: 'affirming', 'ear.status': 'affirming' })],
    ['another-audience', 'ear/audience', await altered({ aud: 'E'.repeat(43) })],
    ['lives-too-long', 'ear/lifetime', await altered({ exp: at + earLifetimeSeconds + 1 })],
    ['not-yet-valid', 'ear/not-yet-valid', token, at - 61],
    ['expired', 'ear/expired', token, at + earLifetimeSeconds + 61],
  ]
  const keys = [ed.publicKey, es.publicKey] as unknown as readonly Json[]
  return rows.map(([name, expect, text, when = at]) => ({ name, expect, audience, at: when, keys, token: text }))
}
