import type { AppraisalPolicy, SkippableStep } from '#attest/appraise-under.js'
import { azureDifferences, judgeAzure } from '#attest/vectors/azure.js'
import {
  type Case,
  type CaseCode,
  type CaseInput,
  caseKind,
  type Judgement,
  parseCase,
  type Variant,
} from '#attest/vectors/case.js'
import { ccaAnchors, ccaDifferences, judgeCca } from '#attest/vectors/cca.js'
import { judgeComposite } from '#attest/vectors/composite.js'
import { dcapDifferences, judgeDcap } from '#attest/vectors/dcap.js'
import { disputedPasses } from '#attest/vectors/disputed.js'
import { gpuDifferences, judgeGpu } from '#attest/vectors/gpu.js'
import { judgeNitro, nitroDifferences } from '#attest/vectors/nitro.js'
import { judgeSnp, snpDifferences } from '#attest/vectors/snp.js'
import { fromHex, fromUtf8, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { Failure, isFailure } from '#core/failure.js'

/** The files of one case: bytes of a file of its folder, or undefined. */
export type CaseFiles = (name: string) => Uint8Array | undefined

/** What a line says: null when the case agrees, else how it differs. */
export interface Line {
  readonly name: string
  readonly problem: string | null
  /** why the case is wrong where it does not agree; null where it agrees, and where nobody knows better */
  readonly disputed: string | null
  readonly note: string
  /** how it came out; null where it could not be judged */
  readonly judged: Judgement | null
}
export type CaseReport =
  | { readonly kind: 'run'; readonly lines: readonly Line[] }
  | { readonly kind: 'skipped'; readonly reason: string }

interface Kind {
  judge(input: CaseInput): Promise<Judgement>
  differences(expected: unknown, input: CaseInput): readonly string[] | Promise<readonly string[]>
  /** for a kind without a vendor's root: what a published case brings along, as a reader would name it */
  anchors?(roles: ReadonlyMap<string, Uint8Array>): readonly string[]
}
const kinds: Readonly<Record<string, Kind>> = {
  'sev-snp': { judge: judgeSnp, differences: snpDifferences },
  tdx: { judge: judgeDcap('tdx'), differences: dcapDifferences('tdx') },
  sgx: { judge: judgeDcap('sgx'), differences: dcapDifferences('sgx') },
  'nvidia-gpu': { judge: judgeGpu, differences: gpuDifferences },
  nitro: { judge: judgeNitro, differences: nitroDifferences },
  'azure-vtpm': { judge: judgeAzure, differences: azureDifferences },
  composite: { judge: judgeComposite, differences: () => [] },
  'arm-cca': { judge: judgeCca, differences: ccaDifferences, anchors: ccaAnchors },
}

/**
 * The 64 bytes that the evidence has to carry, or null. Published Nitro documents bind user data of any length; those of
 * another one are no report data, so that step is left out by name, and what the case decoded is compared instead. So it
 * is where a vTPM took a nonce as it is: the report data are then the hardware's own.
 */
function boundBytes(one: Case): Uint8Array | null {
  if (one.reportData === null || (one.tee === 'nitro' && one.reportData.length !== 128)) return null
  if (one.tee === 'azure-vtpm' && one.nonce) return null
  return fromHex(one.reportData, 64)
}

/** The policy `vectors`: leaves out exactly the steps for which the case supplies nothing. */
function policyFor(one: Case): AppraisalPolicy {
  const skips: SkippableStep[] = []
  if (!Object.hasOwn(one.files, 'referenceValues')) skips.push('reference-values')
  // With reference values the case has an opinion on CRLs, and a missing one is what it is about.
  if (!Object.hasOwn(one.files, 'crl') && !Object.hasOwn(one.files, 'referenceValues')) skips.push('crl')
  if (boundBytes(one) === null) skips.push('report-data')
  return { name: 'vectors', skips }
}

/**
 * Runs one case and its variants.
 *
 * pinnedChains  for each product the PEM chain of its authorities, for variants that swap in another product's
 */
export async function runCase(
  name: string,
  caseJson: Uint8Array,
  files: CaseFiles,
  pinnedChains: ReadonlyMap<string, Uint8Array>,
): Promise<CaseReport> {
  try {
    const kind = kinds[caseKind(caseJson)]
    if (!kind) return { kind: 'skipped', reason: `no verifier for ${caseKind(caseJson)} yet` }
    const one = parseCase(caseJson)
    const input = inputOf(one, files)
    const lines = [await baseLine(name, one, kind, input)]
    for (const variant of one.variants ?? [])
      lines.push(await variantLine(name, one, kind, input, variant, files, pinnedChains))
    return { kind: 'run', lines }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { kind: 'run', lines: [line(name, [`case cannot be read: ${error.message}`], '', null)] }
  }
}

/** What one run of a case is given. @throws case/file */
export function inputOf(one: Case, files: CaseFiles): CaseInput {
  const roles = new Map<string, Uint8Array>()
  for (const [role, file] of Object.entries(one.files)) {
    const bytes = files(file)
    if (!bytes) throw new Failure<CaseCode>('case/file', `file ${file} of role ${role} is missing`)
    roles.set(role, bytes)
  }
  const simulatedRoots = one.simulatedRoots ?? kinds[one.tee]?.anchors?.(roles)
  return {
    roles,
    at: one.validAt,
    nonce: one.nonce ? fromHex(one.nonce) : null,
    reportData: boundBytes(one),
    simulatedRoots: simulatedRoots ?? [],
    ocspWindows: Object.values(one.ocspWindows ?? {}),
    collateralFloors: one.collateralFloors ?? [],
    rimIds: one.rimIds ?? {},
    tenantClass: one.tenantClass ?? (simulatedRoots ? 'development' : 'production'),
    policy: policyFor(one),
  }
}

async function baseLine(name: string, one: Case, kind: Kind, input: CaseInput): Promise<Line> {
  const judged = await kind.judge(input)
  const problems = [
    ...(judged.overall === one.expect ? [] : [`expected ${one.expect}, is ${judged.overall}${because(judged)}`]),
    ...(one.expectCrypto === undefined || judged.crypto === one.expectCrypto
      ? []
      : [`cryptography: expected ${one.expectCrypto}, is ${judged.crypto}${because(judged)}`]),
    ...codeProblem(one.code, judged),
    ...skipsProblem(one.skips, judged),
    ...(one.expected === undefined || one.expected === null ? [] : await kind.differences(one.expected, input)),
  ]
  const skipped = input.policy.skips.length > 0 ? `, skipped: ${input.policy.skips.join(', ')}` : ''
  return line(name, problems, `${one.expect}${because(judged)}${skipped}`, judged)
}

async function variantLine(
  name: string,
  one: Case,
  kind: Kind,
  input: CaseInput,
  variant: Variant,
  files: CaseFiles,
  pinnedChains: ReadonlyMap<string, Uint8Array>,
): Promise<Line> {
  const label = `${name} [${variant.name}]`
  let changed: CaseInput
  try {
    changed = applyVariant(one, input, variant, files, pinnedChains)
  } catch (error) {
    if (!isFailure(error)) throw error
    return line(label, [error.message], '', null)
  }
  const judged = await kind.judge(changed)
  const problems =
    judged.overall === variant.expect ? [] : [`expected ${variant.expect}, is ${judged.overall}${because(judged)}`]
  const all = [...problems, ...codeProblem(variant.code, judged)]
  const found = line(label, all, `${variant.expect}${because(judged)}`, judged)
  const bytes = variant.mutate && changed.roles.get(variant.mutate.file)
  if (found.problem === null || judged.overall !== 'pass' || !bytes) return found
  return { ...found, disputed: disputedPasses.get(toHex(sha256(bytes))) ?? null }
}

function line(name: string, problems: readonly string[], note: string, judged: Judgement | null): Line {
  return { name, problem: problems.length > 0 ? problems.join('; ') : null, disputed: null, note, judged }
}
function because(judged: Judgement): string {
  return judged.code === null ? '' : ` (${judged.code})`
}
function codeProblem(wanted: string | undefined, judged: Judgement): readonly string[] {
  return wanted === undefined || wanted === judged.code ? [] : [`expected code ${wanted}, is ${judged.code}`]
}
function skipsProblem(wanted: readonly string[] | undefined, judged: Judgement): readonly string[] {
  if (wanted === undefined) return []
  const found = judged.parts.flatMap(({ steps }) =>
    steps.filter(({ verdict }) => verdict === 'skip').map(({ id }) => id),
  )
  return found.join() === wanted.join()
    ? []
    : [`expected to skip ${wanted.join(', ') || 'nothing'}, skips ${found.join(', ') || 'nothing'}`]
}

/**
 * What one run of a variant is given.
 *
 * throws  case/variant also for a variant that changes nothing: a negative could pass for the wrong reason
 */
export function applyVariant(
  one: Case,
  input: CaseInput,
  variant: Variant,
  files: CaseFiles,
  pinnedChains: ReadonlyMap<string, Uint8Array>,
): CaseInput {
  const roles = new Map(input.roles)
  let changes = variant.validAt === undefined ? 0 : 1
  if (variant.nonce !== undefined && variant.nonce !== one.nonce) changes++
  if (variant.mutate) {
    roles.set(variant.mutate.file, mutated(roles.get(variant.mutate.file), variant.mutate))
    changes++
  }
  for (const [role, wanted] of Object.entries(variant.replaceFile ?? {})) {
    roles.set(role, replacementFor(one, wanted, files, pinnedChains))
    changes++
  }
  if (changes === 0) throw new Failure<CaseCode>('case/variant', 'variant changes nothing that the runner knows')
  const nonce = variant.nonce === undefined ? input.nonce : fromHex(variant.nonce)
  return { ...input, roles, nonce, at: variant.validAt ?? input.at }
}

/** One byte changed, one text replaced by another, or what the words of a publisher stand for. */
function mutated(original: Uint8Array | undefined, mutate: NonNullable<Variant['mutate']>): Uint8Array {
  if ('note' in mutate) {
    const text = original && fromUtf8(original)
    const digit = text && /"[0-9a-f]{64}"/.exec(text)?.[0]?.[1]
    if (!digit) throw new Failure<CaseCode>('case/variant', `no value of a PCR in ${mutate.file}`)
    return utf8(text.replace(`"${digit}`, () => `"${digit === '0' ? '1' : '0'}`))
  }
  if ('replace' in mutate) {
    const [from, to] = mutate.replace
    const text = original && fromUtf8(original)
    const changed = text?.replace(from!, () => to!)
    if (changed === undefined || changed === text)
      throw new Failure<CaseCode>('case/variant', `cannot replace ${JSON.stringify(from)} in ${mutate.file}`)
    return utf8(changed)
  }
  const bytes = original?.slice()
  const mask = fromHex(mutate.xor, 1)[0]!
  if (!bytes || mutate.offset >= bytes.length || mask === 0)
    throw new Failure<CaseCode>('case/variant', `cannot change byte ${mutate.offset} of ${mutate.file}`)
  bytes[mutate.offset]! ^= mask
  return bytes
}

function replacementFor(
  one: Case,
  wanted: string,
  files: CaseFiles,
  pinnedChains: ReadonlyMap<string, Uint8Array>,
): Uint8Array {
  const other = [...pinnedChains].find(([product]) => !one.product.startsWith(product))
  const bytes = wanted === 'the ARK/ASK of another product line' ? other?.[1] : files(wanted)
  if (!bytes) throw new Failure<CaseCode>('case/variant', `no replacement for ${JSON.stringify(wanted)}`)
  return bytes
}
