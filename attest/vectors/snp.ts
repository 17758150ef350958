import { appraiseUnder } from '#attest/appraise-under.js'
import { type VerifiedEvidence, verifyEvidence } from '#attest/kinds.js'
import { type Field, field } from '#attest/snp/layout.js'
import type { CaseCode, CaseInput, Judgement } from '#attest/vectors/case.js'
import { fromUtf8, toBase64, toHex } from '#core/bytes/bytes.js'
import { parseJson } from '#core/encoding/json.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure, isFailure } from '#core/failure.js'
import { evidenceShape } from '#core/wire/evidence.js'
import { type ReferenceValues, referenceValuesShape } from '#core/wire/reference-values.js'

function role(input: CaseInput, ...names: readonly string[]): Uint8Array {
  for (const name of names) {
    const bytes = input.roles.get(name)
    if (bytes) return bytes
  }
  throw new Failure<CaseCode>('case/file', `case has no ${names.join(' or ')}`)
}

function evidenceOf(input: CaseInput) {
  const [vek] = parsePem(fromUtf8(role(input, 'vcek', 'vlek')), 'CERTIFICATE', 1)
  const [ask, ark, ...more] = parsePem(fromUtf8(role(input, 'certChain')), 'CERTIFICATE', 2)
  if (!vek || !ask || !ark || more.length > 0)
    throw new Failure<CaseCode>('case/file', 'certChain does not hold an intermediate and a root')
  const crl = input.roles.get('crl')
  const envelope = {
    kind: 'snp',
    report: toBase64(role(input, 'report')),
    vek: toBase64(vek),
    ask: toBase64(ask),
    ark: toBase64(ark),
    crl: crl ? toBase64(crl) : null,
  }
  return evidenceShape(envelope, 'evidence')
}

/** Runs one SEV-SNP case as the service would: envelope, verification, appraisal. */
export async function judgeSnp(input: CaseInput): Promise<Judgement> {
  let verified: VerifiedEvidence
  try {
    const { simulatedRoots, collateralFloors } = input
    verified = await verifyEvidence(evidenceOf(input), { simulatedRoots, collateralFloors }, input.at)
  } catch (error) {
    if (!isFailure(error)) throw error
    return { crypto: 'fail', overall: 'fail', code: error.code }
  }
  const bytes = input.roles.get('referenceValues')
  const referenceValues: ReferenceValues = bytes
    ? referenceValuesShape(parseJson(bytes), 'referenceValues')
    : { snp: undefined }
  const result = appraiseUnder(
    input.policy,
    verified,
    {
      expectedReportData: input.reportData ?? new Uint8Array(64),
      referenceValues,
      tenantClass: input.tenantClass,
      at: input.at,
    },
    [],
  )
  // A warning, such as the one for Milan, is not a failure.
  const refused = result.checks.find((check) => check.status === 'contraindicated')
  return { crypto: 'pass', overall: refused ? 'fail' : 'pass', code: refused ? refused.id : null }
}

/** Fields that a case decodes for its readers, and where the report holds them; numbers are little-endian there. */
const numbers = { version: 'version', guestSvn: 'guestSvn', vmpl: 'vmpl' } as const satisfies Record<string, Field>
const strings: readonly Field[] = [
  'measurement',
  'hostData',
  'idKeyDigest',
  'authorKeyDigest',
  'familyId',
  'imageId',
  'reportId',
  'chipId',
  'platformInfo',
  'launchMitVector',
  'currentMitVector',
]
const tcbs: readonly Field[] = ['currentTcb', 'reportedTcb', 'committedTcb', 'launchTcb']

/** What the case decoded otherwise than our table of offsets does. */
export function snpDifferences(expected: unknown, input: CaseInput): readonly string[] {
  const wanted = expected as { readonly [name: string]: unknown }
  const report = role(input, 'report')
  const bytesOf = (name: Field) => report.subarray(field[name][0], field[name][0] + field[name][1])
  const out: string[] = []
  const compare = (name: string, found: unknown, want: unknown) => {
    if (want !== undefined && want !== null && found !== want) out.push(`${name} is ${found}, expected ${want}`)
  }
  for (const [name, at] of Object.entries(numbers))
    compare(name, Number(BigInt(`0x${toHex(bytesOf(at).toReversed())}`)), wanted[name])
  for (const name of strings) compare(name, toHex(bytesOf(name)), wanted[name])
  for (const name of tcbs) compare(name, toHex(bytesOf(name)), (wanted[name] as { raw?: unknown } | undefined)?.raw)
  compare('policy', toHex(bytesOf('policy').toReversed()), wanted.policy)
  const cpuid = wanted.cpuid as { family: string; model: string; stepping: string } | null | undefined
  if (cpuid) compare('cpuid', toHex(bytesOf('cpuid')), cpuid.family + cpuid.model + cpuid.stepping)
  return out
}
