import { type Field, field } from '#attest/snp/layout.js'
import type { CaseCode, CaseInput, Judgement } from '#attest/vectors/case.js'
import { judge, roleOf } from '#attest/vectors/judge.js'
import { fromUtf8, toBase64, toHex } from '#core/bytes/bytes.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure } from '#core/failure.js'
import { type MachineEvidence, machineEvidenceShape } from '#core/wire/evidence.js'

/** Certificates and CRL of a case, as members of an envelope. */
export function endorsementOf(input: CaseInput) {
  const [vek] = parsePem(fromUtf8(roleOf(input, 'vcek', 'vlek')), 'CERTIFICATE', 1)
  const [ask, ark, ...more] = parsePem(fromUtf8(roleOf(input, 'certChain')), 'CERTIFICATE', 2)
  if (!vek || !ask || !ark || more.length > 0)
    throw new Failure<CaseCode>('case/file', 'certChain does not hold an intermediate and a root')
  const crl = input.roles.get('crl')
  return {
    vek: toBase64(vek),
    ask: toBase64(ask),
    ark: toBase64(ark),
    crl: crl ? toBase64(crl) : null,
  }
}

/** The envelope that a node would send. @throws case/file, pem/..., shape/... */
export function evidenceOf(input: CaseInput): MachineEvidence {
  return machineEvidenceShape(
    { kind: 'snp', report: toBase64(roleOf(input, 'report')), ...endorsementOf(input) },
    'evidence',
  )
}

/** Runs one SEV-SNP case as the service would: envelope, verification, appraisal. */
export const judgeSnp = (input: CaseInput): Promise<Judgement> => judge(input, () => evidenceOf(input))

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
  const report = roleOf(input, 'report')
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
