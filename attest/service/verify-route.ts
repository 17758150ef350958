import type { AssembleCode } from '#attest/assemble/wanted.js'
import { assemble } from '#attest/assemble.js'
import type { Caches } from '#attest/caches.js'
import { issueEar } from '#attest/ear/issue.js'
import { everyStepPassed, examineEvidence, skippedSteps } from '#attest/examine.js'
import { readPemBundle } from '#attest/pem-bundle.js'
import { type Pool, poolOf } from '#attest/pool.js'
import { type Form, type RecogniseCode, type Recognised, recognise } from '#attest/recognise.js'
import type { AttestationResult } from '#attest/result.js'
import type { AttestServiceCode } from '#attest/service/failures.js'
import type { AttestRoutesOptions } from '#attest/service/options.js'
import { loadShippedCertificates } from '#attest/service/shipped.js'
import { suppliedEvidence } from '#attest/service/supplied.js'
import { fromBase64, fromHex, toBase64, toBase64Url } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import type { Json } from '#core/encoding/json.js'
import { base64, hex, json, list, object, oneOf, optional, type Shaped, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { KiB, MiB } from '#core/limits.js'
import { type Binding, bindingShape, reportDataOf } from '#core/wire/binding.js'
import { type AnyEvidence, anyEvidenceShape, type Evidence } from '#core/wire/evidence.js'
import { type Keyset, keysetDigest, keysetShape, releaseKeyThumbprint } from '#core/wire/keyset.js'
import { referenceValuesShape } from '#core/wire/reference-values.js'

/** Failures of evidence as a file, as HTTP statuses. */
export const verifyStatuses: Readonly<Record<RecogniseCode | AssembleCode, number>> = {
  'evidence/unrecognised': 422,
  'evidence/size': 413,
  'evidence/incomplete': 422,
  'evidence/unverified-form': 422,
}

const filesMax = 64

/**
 * What is asked. Evidence is an envelope, or bytes as a device gave them out with the files that lie beside them. It has
 * to carry a binding of ours, with the keyset that this names, or 64 bytes, or a bare nonce; without any of them the step
 * is skipped by name, as it is without reference values.
 */
export const verifyRequestShape = object({
  /** where the service has a store of collateral, without it too */
  evidence: optional(json),
  raw: optional(
    object({
      evidence: base64(undefined, MiB),
      collateral: list(object({ name: string({ max: 300 }), content: base64(undefined, MiB) }), { max: filesMax }),
    }),
  ),
  binding: optional(bindingShape),
  keyset: optional(keysetShape),
  reportData: optional(hex(64)),
  nonce: optional(hex(undefined, 2 * KiB)),
  referenceValues: optional(referenceValuesShape),
  tenantClass: oneOf('production', 'development'),
})
type VerifyRequest = Shaped<typeof verifyRequestShape>

const refuse = (message: string) => new Failure<AttestServiceCode>('attest/request', message)

/** @throws attest/keyset when the keyset is not the one that the binding names */
export function verifyKeyset(binding: Binding, keyset: Keyset): string {
  const digest = keysetDigest(keyset)
  if (digest === binding.keyset_digest) return digest
  throw new Failure<AttestServiceCode>('attest/keyset', `keyset is ${digest}, binding names ${binding.keyset_digest}`)
}

interface Found {
  readonly form: Form
  readonly document: Json
  readonly notes: readonly string[]
}

/** @throws attest/request, evidence/..., shape/... */
async function evidenceOf({ evidence, raw }: VerifyRequest, hasStore: boolean): Promise<Found> {
  if ((evidence === undefined) === (raw === undefined)) throw refuse('expected evidence or raw, one of them')
  if (evidence !== undefined) return { form: 'envelope', document: evidence, notes: [] }
  const bytes = fromBase64(raw!.evidence)
  const bundle = readPemBundle(bytes)
  const recognised = bundle?.recognised ?? recognise(bytes)
  const files = raw!.collateral.map(({ name, content }) => ({ name, bytes: fromBase64(content) }))
  const pool = poolOf([...(bundle?.files ?? []), ...files, ...(await loadShippedCertificates())])
  return { form: recognised.form, document: assembled(recognised, pool, hasStore), notes: recognised.notes }
}

/** The envelope; of a bare report or quote without its collateral, where a store can fill it. @throws evidence/..., shape/... */
function assembled(recognised: Recognised, pool: Pool, hasStore: boolean): Json {
  try {
    return { ...assemble(recognised, pool) } as Json
  } catch (error) {
    const bare = bareEnvelope(recognised)
    if (!isFailure(error) || error.code !== 'evidence/incomplete' || !hasStore || bare === null) throw error
    return bare
  }
}

function bareEnvelope({ form, bytes }: Recognised): Json | null {
  if (form === 'snp-report' || form === 'snp-response')
    return { kind: 'snp', report: toBase64(bytes), vek: null, ask: null, ark: null, crl: null }
  if (form === 'tdx-quote') return { kind: 'tdx', quote: toBase64(bytes), collateral: null, eventLog: null }
  return form === 'sgx-quote' ? { kind: 'sgx', quote: toBase64(bytes), collateral: null } : null
}

/** What the evidence has to carry. At most one way to say it. @throws attest/request, attest/keyset */
function expectedOf({ binding, keyset, reportData, nonce }: VerifyRequest) {
  if ((binding === undefined) !== (keyset === undefined)) throw refuse('binding and keyset go together')
  if ([binding, reportData, nonce].filter((one) => one !== undefined).length > 1)
    throw refuse('binding, reportData and nonce are ways to say one thing: expected at most one of them')
  if (nonce === '') throw refuse('nonce is empty: leave it out where nothing is asked for')
  if (binding !== undefined) verifyKeyset(binding, keyset!)
  const bytes = binding ? reportDataOf(binding) : reportData === undefined ? null : fromHex(reportData, 64)
  return { expectedReportData: bytes, expectedNonce: nonce === undefined ? null : fromHex(nonce), binding }
}

/**
 * Why no EAR is given; null when one is. An EAR names the key that the evidence binds, and is of a machine. One that could be
 * taken for a yes is the word that every step passed; a refusal is one whatever was skipped.
 */
function earWithheld(request: VerifyRequest, result: AttestationResult<AnyEvidence>): string | null {
  if (request.binding === undefined) return 'an EAR names the keyset that the evidence binds: send binding and keyset'
  if (result.skipped.length > 0) return `steps were left out: ${result.skipped.join(', ')}`
  if (result.kind === 'gpu') return 'a verdict on devices is none on a machine: send composite evidence'
  const skips = result.status === 'contraindicated' ? [] : skippedSteps(result)
  if (skips.length > 0)
    return `steps were skipped: ${skips.join(', ')}; POST /v1/attest gives an EAR that names them, where the owner's values let them be`
  return null
}

/** What is left of a claim is the reader's: `accepted` is this verifier's word that every step passed on hardware. */
export async function answerVerify(request: VerifyRequest, options: AttestRoutesOptions, caches: Caches) {
  const found = await evidenceOf(request, options.collateral !== undefined)
  const expected = expectedOf(request)
  const { evidence, anchors, collateral } = await suppliedEvidence(options, found.document, anyEvidenceShape)
  const examination = {
    ...expected,
    referenceValues: request.referenceValues ?? null,
    tenantClass: request.tenantClass,
    at: options.now(),
  }
  const result = await examineEvidence(evidence, anchors, examination, caches)
  const withheld = earWithheld(request, result)
  const ear = withheld === null ? await earOf(request, result as AttestationResult, options) : null
  const { kind, platform, status, vector, failure, skipped, claims, at, policy, digests, steps, signatures } = result
  const complete = everyStepPassed(result)
  return {
    accepted: complete && platform === 'hardware' && (status === 'affirming' || status === 'warning'),
    complete,
    ear,
    earWithheld: withheld,
    form: found.form,
    notes: found.notes,
    collateral,
    kind,
    platform: platform === 'simulated' ? 'NOT HARDWARE' : platform,
    status,
    vector,
    failure,
    skipped,
    at,
    policy,
    digests,
    signatures,
    steps,
    claims,
  }
}

/** The EAR that `/v1/attest` would have given for the same request. */
async function earOf(
  { binding, keyset }: VerifyRequest,
  result: AttestationResult<Evidence>,
  { issuer, build, keys }: AttestRoutesOptions,
): Promise<string> {
  return issueEar(result, earInput(binding!, keyset!, issuer, build), (await keys()).current)
}

/** What an EAR says of the challenge that was answered. */
export function earInput(binding: Binding, keyset: Keyset, issuer: string, build: string) {
  return {
    issuer,
    audience: binding.audience,
    nonce: binding.nonce,
    id: toBase64Url(randomBytes(16)),
    keyThumbprint: releaseKeyThumbprint(keyset),
    keysetDigest: keysetDigest(keyset),
    build,
  }
}
