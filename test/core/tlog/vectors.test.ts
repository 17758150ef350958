import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromHex } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { encodeAddCheckpoint, parseAddCheckpoint } from '#core/tlog/add-checkpoint.js'
import { parseCheckpoint } from '#core/tlog/checkpoint.js'
import type { TlogCode } from '#core/tlog/failures.js'
import { encodeNote, parseNote, verifyNote } from '#core/tlog/note.js'
import { parsePolicy } from '#core/tlog/policy.js'
import { encodeTlogProof, parseTlogProof } from '#core/tlog/proof.js'
import { encodeEntries, parseEntries, parseTilePath, tilePath } from '#core/tlog/tiles.js'
import { type LogTrust, verifyTlogProof } from '#core/tlog/verify.js'
import { encodeVkey, parseVkey } from '#core/tlog/vkey.js'

interface TextCase {
  readonly format: string
  readonly name: string
  readonly input: string
  readonly expected: 'ok' | TlogCode
  readonly key?: string
}
interface ProofCase {
  readonly name: string
  readonly proof: string
  readonly leaf: string
  readonly trust: LogTrust
  readonly at?: number
  readonly expected: 'ok' | TlogCode
}

function load<T>(name: string): readonly T[] {
  const text = readFileSync(new URL(`../../vectors/tlog/${name}`, import.meta.url), 'utf8')
  return (JSON.parse(text) as { cases: readonly T[] }).cases
}
const texts = load<TextCase>('texts.json')
const proofs = load<ProofCase>('proof.json')

/** Reads a text; where there is one accepted spelling, writing it again gives the same text. */
const readers: Readonly<Record<string, (one: TextCase) => Promise<void>>> = {
  vkey: async ({ input }) => expect(encodeVkey(parseVkey(input))).toBe(input),
  async note({ input, key }) {
    const note = parseNote(input)
    expect(encodeNote(note)).toBe(input)
    if (key !== undefined) expect(await verifyNote(note, [parseVkey(key)])).toHaveLength(1)
  },
  checkpoint: async ({ input }) => expect(encodeNote(parseCheckpoint(input).note)).toBe(input),
  policy: async ({ input }) => void parsePolicy(input),
  tile: async ({ input }) => expect(tilePath(parseTilePath(input))).toBe(input),
  entries: async ({ input }) => expect(encodeEntries(parseEntries(fromHex(input)))).toEqual(fromHex(input)),
  'add-checkpoint': async ({ input }) => expect(encodeAddCheckpoint(parseAddCheckpoint(input))).toBe(input),
}

async function outcome(work: () => Promise<unknown>): Promise<string> {
  try {
    await work()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}

describe('tlog vectors', () => {
  test.each(texts)('$format: $name: $expected', async (one) => {
    expect(await outcome(() => readers[one.format]!(one))).toBe(one.expected)
  })

  test.each(proofs)('proof: $name: $expected', async ({ proof, leaf, trust, at, expected }) => {
    expect(await outcome(() => verifyTlogProof(proof, fromHex(leaf), trust, at))).toBe(expected)
    if (expected === 'ok') expect(encodeTlogProof(parseTlogProof(proof))).toBe(proof)
  })

  test('every failure code has a vector that raises it', () => {
    const codes: Readonly<Record<TlogCode, true>> = {
      'tlog/note': true,
      'tlog/vkey': true,
      'tlog/checkpoint': true,
      'tlog/extension': true,
      'tlog/cosignature': true,
      'tlog/proof': true,
      'tlog/add-checkpoint': true,
      'tlog/policy': true,
      'tlog/tile': true,
      'tlog/entries': true,
      'tlog/signature': true,
      'tlog/unknown-log': true,
      'tlog/quorum': true,
      'tlog/range': true,
      'tlog/proof-length': true,
      'tlog/root-mismatch': true,
    }
    const raised = new Set<string>([...texts, ...proofs].map((one) => one.expected))
    expect(Object.keys(codes).filter((code) => !raised.has(code))).toEqual([])
  })
})
