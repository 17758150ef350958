/** The cases that `verify` times: published captures where they are, else those that are minted here. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { verifyEvidence } from '#attest/kinds.js'
import { type CaseInput, parseCase } from '#attest/vectors/case.js'
import { evidenceOf as gpuEvidenceOf } from '#attest/vectors/gpu.js'
import { roleOf } from '#attest/vectors/judge.js'
import { inputOf } from '#attest/vectors/run.js'
import { evidenceOf as snpEvidenceOf } from '#attest/vectors/snp.js'
import { toBase64 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import type { PartEvidence } from '#core/wire/evidence.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const published = process.env.CLAVIGER_VECTORS_DIR ?? `${root}../shared/vectors`
const hasPublished = existsSync(published)
export const vectorsName = hasPublished ? 'published captures' : 'minted vectors'

const publishedNames: Readonly<Record<string, string>> = { snp: 'sev-snp', gpu: 'nvidia-gpu' }
export const kindFolder = (kind: string): string =>
  hasPublished ? join(published, publishedNames[kind] ?? kind) : join(root, 'test/vectors', kind)

/** What a verification is given. */
export interface Given {
  readonly name?: string
  readonly evidence: PartEvidence
  readonly at: number
  readonly simulatedRoots: readonly string[]
}

const evidenceOf: Readonly<
  Record<'snp' | 'nitro' | 'gpu', (input: CaseInput) => PartEvidence | Promise<PartEvidence>>
> = {
  snp: snpEvidenceOf,
  nitro: (input) => ({ kind: 'nitro', document: toBase64(roleOf(input, 'document')) }),
  gpu: gpuEvidenceOf,
}

/** The cases of a kind that verify. */
export async function goodRuns(kind: 'snp' | 'nitro' | 'gpu'): Promise<readonly Given[]> {
  const out: Given[] = []
  const folder = kindFolder(kind)
  for (const name of readdirSync(folder)) {
    const read = (file: string) => new Uint8Array(readFileSync(join(folder, name, file)))
    if (!existsSync(join(folder, name, 'case.json'))) continue
    try {
      const input = inputOf(parseCase(read('case.json')), read)
      const given = {
        name,
        evidence: await evidenceOf[kind](input),
        at: input.at,
        simulatedRoots: input.simulatedRoots,
      }
      await verifyEvidence(given.evidence, given, given.at)
      out.push(given)
    } catch (error) {
      if (!isFailure(error)) throw error // a case that is there to be refused
    }
  }
  if (out.length === 0) throw new Error(`no case of ${kind} verifies`)
  return out
}
