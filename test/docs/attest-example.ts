import { readFile } from 'node:fs/promises'
import { assemble, everyStepPassed, examineEvidence, poolOf, recognise } from 'claviger/attest'

/** Judges a report or quote with the files beside it, and prints what did not pass. True only when everything did. */
export async function judge(evidence: string, beside: readonly string[], reportData: Uint8Array): Promise<boolean> {
  const files = await Promise.all(beside.map(async (name) => ({ name, bytes: await readFile(name) })))
  const result = await examineEvidence(
    assemble(recognise(await readFile(evidence)), poolOf(files)),
    { simulatedRoots: [] }, // no throwaway root counts: hardware or nothing
    {
      expectedReportData: reportData, // the 64 bytes that your challenge made
      expectedNonce: null,
      referenceValues: null, // a step that is skipped by name, and then not everything passed
      tenantClass: 'production',
      at: Math.floor(Date.now() / 1000), // nothing in the library reads a clock
    },
  )
  for (const { id, verdict, found, expected, hint } of result.steps)
    if (verdict !== 'pass') console.log(`${verdict} ${id}: found ${found}; expected ${expected}; ${hint}`)
  return result.platform === 'hardware' && everyStepPassed(result)
}
