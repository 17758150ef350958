/**
 * What programs outside this package may use of the verifier, in Node and in browsers: telling what evidence a file holds,
 * verifying and appraising it, explaining it. Nothing here reads a clock, a disk, a network or a random number: time,
 * anchors, collateral and what is expected are arguments.
 */
export type { Anchors } from '#attest/anchors.js'
export { type AppraisalInput, appraiseEvidence } from '#attest/appraise.js'
export { assemble } from '#attest/assemble.js'
export { type Caches, makeCaches, type Signatures } from '#attest/caches.js'
export { type Examination, everyStepPassed, examineEvidence } from '#attest/examine.js'
export { explain, explainFile } from '#attest/explain/explain.js'
export type { ExplainedField, ExplainedPart } from '#attest/explain/part.js'
export { type PemBundle, readPemBundle } from '#attest/pem-bundle.js'
export { type NamedFile, type Pool, poolOf } from '#attest/pool.js'
export { type Form, type Recognised, recognise } from '#attest/recognise.js'
export type { AttestationResult, Platform, TenantClass } from '#attest/result.js'
export { catalogue } from '#attest/steps.js'
export type { KindSteps, Step, TracedStep, Verdict } from '#attest/trace.js'
export type { SignatureJwk } from '#core/crypto/jwk.js'
export { Failure, isFailure } from '#core/failure.js'
export { type Check, type Ear, verifyEar } from '#core/wire/ear.js'
export { type AnyEvidence, anyEvidenceShape, type Evidence } from '#core/wire/evidence.js'
export { type ReferenceValues, referenceValuesShape } from '#core/wire/reference-values.js'
