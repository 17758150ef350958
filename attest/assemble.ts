import { amdListOf, assembleSnp } from '#attest/assemble/amd.js'
import { assembleCca } from '#attest/assemble/arm.js'
import { assembleAzure } from '#attest/assemble/azure.js'
import { assembleGpu, fillGpu } from '#attest/assemble/gpu.js'
import { dcapMembers } from '#attest/assemble/intel.js'
import type { AssembleCode, Assembler } from '#attest/assemble/wanted.js'
import { attempt, type Pool } from '#attest/pool.js'
import type { Form, Recognised } from '#attest/recognise.js'
import { fromBase64, toBase64 } from '#core/bytes/bytes.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { MiB } from '#core/limits.js'
import { type AnyEvidence, anyEvidenceShape } from '#core/wire/evidence.js'
import { parseCertificate } from '#core/x509/certificate.js'

/** Evidence of every form as the envelope that the verifier takes; in words, why there is none. */
const assemblers: Readonly<Record<Form, Assembler | string>> = {
  envelope: completeEnvelope,
  'kbs-attestation': 'the message is taken apart by the place that speaks KBS',
  'snp-report': assembleSnp,
  'snp-response': assembleSnp,
  'tdx-quote': (recognised, pool) => ({
    kind: 'tdx',
    ...dcapMembers(recognised, pool),
    eventLog: pool.eventLogs[0] ? toBase64(pool.eventLogs[0]) : null,
  }),
  'sgx-quote': (recognised, pool) => ({ kind: 'sgx', ...dcapMembers(recognised, pool) }),
  'nitro-document': ({ bytes }) => ({ kind: 'nitro', document: toBase64(bytes) }),
  'azure-hcl-report': assembleAzure,
  'gpu-report': assembleGpu,
  'cca-token': assembleCca,
}

/**
 * The envelope of evidence: what was recognised, and from the pool the certificates, lists and documents that a raw
 * report or quote lacks. Of several the one is taken that says it is of this machine: whether it is, is verified later.
 *
 * throws  evidence/incomplete, evidence/unverified-form, and shape/... for an envelope that is none
 */
export function assemble(recognised: Recognised, pool: Pool): AnyEvidence {
  const assembler = assemblers[recognised.form]
  if (typeof assembler === 'string')
    throw new Failure<AssembleCode>('evidence/unverified-form', `${recognised.title}: ${assembler}`)
  return anyEvidenceShape(assembler(recognised, pool), 'evidence')
}

/** The file's own envelope; a CRL that it lacks, and RIMs and answers on devices, are taken from the pool. */
function completeEnvelope({ bytes }: Recognised, pool: Pool): Json {
  const envelope = parseJson(bytes, 16 * MiB)
  const { kind, crl, ark, ask } = envelope as { readonly [name: string]: Json }
  if (kind === 'gpu') return fillGpu(envelope, pool)
  if ((kind !== 'snp' && kind !== 'azure-snp') || crl !== null || typeof ark !== 'string' || typeof ask !== 'string')
    return envelope
  const issuer = attempt(() => parseCertificate(fromBase64(ark), 'root certificate'))
  const authority = attempt(() => parseCertificate(fromBase64(ask), 'intermediate certificate'))
  const found = issuer && authority && amdListOf(pool.crls, issuer, authority)
  return found ? { ...(envelope as { readonly [name: string]: Json }), crl: toBase64(found.der) } : envelope
}
