import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { runCase } from '#attest/vectors/run.js'

/** Runs every case.json below a folder through the verification that the service uses. Exit 0 only when all agree. */
const depthMax = 6
const fileSizeMax = 16 * 1024 * 1024

function casesBelow(folder: string, depth = 0): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
  const here = entries.some((entry) => entry.isFile() && entry.name === 'case.json') ? [folder] : []
  const below = entries.filter((entry) => entry.isDirectory())
  // A case that is left out would look like one that agrees.
  if (below.length > 0 && depth === depthMax) throw new Error(`${folder}: folders are nested deeper than ${depthMax}`)
  return [...here, ...below.flatMap((entry) => casesBelow(join(folder, entry.name), depth + 1))]
}

function readBounded(path: string): Uint8Array | undefined {
  try {
    const found = statSync(path)
    return found.isFile() && found.size <= fileSizeMax ? new Uint8Array(readFileSync(path)) : undefined
  } catch {
    return undefined // the runner says which file of which role is missing
  }
}

/** The chains of AMD's product lines that are shipped with the verifier. */
function pinnedChains(): ReadonlyMap<string, Uint8Array> {
  const folder = new URL('../attest/snp/roots/', import.meta.url)
  const read = (product: string) =>
    new Uint8Array(readFileSync(new URL(`${product.toLowerCase()}-ask-ark.pem`, folder)))
  return new Map(['Milan', 'Genoa', 'Turin'].map((product) => [product, read(product)]))
}

/** The cases below a folder; where it cannot be read there are none, and that is said. */
function foundCases(root: string): readonly string[] {
  try {
    return casesBelow(root)
  } catch (error) {
    process.stderr.write(`error: ${error instanceof Error ? error.message : 'the folder cannot be read'}\n`)
    return []
  }
}

/**
 * Prints one line a case and a variant, and last how many passed and failed; returns the exit code. A case that is known to be
 * wrong is neither passed nor failed. None that ran is a failure.
 */
export async function runVectors(root: string, print: (line: string) => void): Promise<number> {
  let passed = 0
  let failed = 0
  let disputed = 0
  const chains = pinnedChains()
  for (const folder of foundCases(root)) {
    const name = relative(root, folder) || '.'
    const caseJson = readBounded(join(folder, 'case.json'))
    if (!caseJson) {
      failed++
      print(`FAILED  ${name}: case.json cannot be read`)
      continue
    }
    const report = await runCase(name, caseJson, (file) => readBounded(join(folder, file)), chains)
    if (report.kind === 'skipped') {
      print(`skipped ${name}: ${report.reason}`)
      continue
    }
    for (const line of report.lines) {
      if (line.disputed !== null) {
        disputed++
        print(`DISPUTED ${line.name}: ${line.problem}: ${line.disputed}`)
        continue
      }
      if (line.problem === null) passed++
      else failed++
      print(line.problem === null ? `ok      ${line.name}: ${line.note}` : `FAILED  ${line.name}: ${line.problem}`)
    }
  }
  if (disputed > 0) print(`${disputed} disputed, counted in neither: docs/decisions/published-vectors.md`)
  print(`${passed} passed, ${failed} failed`)
  return failed > 0 || passed === 0 ? 1 : 0
}

async function main(args: readonly string[]): Promise<number> {
  const [folder, ...rest] = args
  if (folder === undefined || rest.length > 0) {
    process.stderr.write('error: expected one folder\nhint: npm run vectors -- DIR\n')
    return 2
  }
  return runVectors(folder, (line) => process.stdout.write(`${line}\n`))
}

if (process.argv[1] !== undefined && import.meta.filename === process.argv[1]) {
  process.exitCode = await main(process.argv.slice(2))
}
