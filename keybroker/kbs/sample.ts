import { equal, fromBase64 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { base64, object, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import { type RuntimeData, runtimeDataDigest } from '#keybroker/kbs/binding.js'
import type { KbsCode } from '#keybroker/kbs/failures.js'
import type { KbsResult } from '#keybroker/kbs/token.js'

const sampleShape = object({ svn: string({ max: 20 }), report_data: base64(48) })

/**
 * The result of the protocol's sample evidence, which carries the digest of this session and proves nothing else: anybody
 * can write it. It is taken by development services that were started so, and is simulated whatever it says (I6).
 *
 * throws  kbs/evidence, kbs/attestation
 * source  guest-components attestation-agent/attester/src/sample; trustee deps/verifier/src/sample
 */
export function readSample(primary: Json, data: RuntimeData): KbsResult {
  let sent: ReturnType<typeof sampleShape>
  try {
    sent = sampleShape(primary, 'primary_evidence')
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new Failure<KbsCode>('kbs/evidence', `sample evidence: ${error.message}`, { cause: error })
  }
  if (!equal(fromBase64(sent.report_data), runtimeDataDigest(data)))
    throw new Failure<KbsCode>('kbs/attestation', 'sample evidence is of another session or key')
  return {
    status: 'warning',
    platform: 'simulated',
    vector: {},
    policyId: 'claviger.kbs.sample.1',
    claims: { svn: sent.svn, report_data: sent.report_data },
  }
}
