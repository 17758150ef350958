import {
  assemble,
  examineEvidence,
  explain,
  isFailure,
  poolOf,
  recognise,
  referenceValuesShape,
} from '#attest/index.js'
import { fromBase64 } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'

/** Evidence of one kind as the text of its envelope, and what it has to carry. */
export interface LibrarySample {
  readonly name: string
  readonly envelope: string
  readonly expectedReportData: number
}

/** A report with the files beside it, in base64. */
export interface RawSample {
  readonly name: string
  readonly evidence: string
  readonly files: readonly string[]
}

/** Everything that a program does with the library, on the same samples in every runtime; values that JSON carries. */
export async function judgeAll(
  samples: readonly LibrarySample[],
  raw: readonly RawSample[],
  values: Json,
  simulatedRoots: readonly string[],
  at: number,
): Promise<Json> {
  const examination = (byte: number) => ({
    expectedReportData: new Uint8Array(64).fill(byte),
    expectedNonce: null,
    referenceValues: referenceValuesShape(values, 'values'),
    tenantClass: 'development' as const,
    at,
  })
  const judged = []
  for (const { name, envelope, expectedReportData } of samples) {
    const recognised = recognise(new TextEncoder().encode(envelope))
    const result = await examineEvidence(
      assemble(recognised, poolOf([])),
      { simulatedRoots },
      examination(expectedReportData),
    )
    judged.push({ name, result, fields: explain(recognised).map((part) => part.fields.length) })
  }
  for (const { name, evidence, files } of raw) {
    const pool = poolOf(files.map((one) => ({ name: '', bytes: fromBase64(one) })))
    try {
      const envelope = assemble(recognise(fromBase64(evidence)), pool)
      judged.push({ name, result: await examineEvidence(envelope, { simulatedRoots }, examination(7)) })
    } catch (error) {
      if (!isFailure(error)) throw error
      judged.push({ name, code: error.code })
    }
  }
  return JSON.parse(JSON.stringify(judged)) as Json
}
