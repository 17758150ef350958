import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { signatureJwk } from '#core/crypto/jwk.js'
import { envelopeShape } from '#core/dsse.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { integer, list, nullable, object, string } from '#core/encoding/shape.js'
import { hashLeaf } from '#core/tlog/merkle.js'
import { type CommitmentLabel, verifyCommitment } from '#core/wire/commitment.js'
import { encodeEntry, parseEntry } from '#core/wire/entries.js'
import { hostDeclarationShape } from '#core/wire/release.js'
import {
  statementKindShape,
  verifyHostStatement,
  verifyStatement,
  verifySuccession,
  verifyTenantStatement,
} from '#core/wire/statements.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'

const load = (format: string) => JSON.parse(readFileSync(`test/vectors/${format}/cases.json`, 'utf8')) as never

interface StatementCase {
  readonly name: string
  readonly kind: Json
  readonly keys: Json
  readonly current: Json
  readonly envelope: Json
  readonly expect: string
}
interface EntryCase {
  readonly name: string
  readonly leaf: string | null
  readonly leafSize?: number
  readonly leafHash: string | null
  readonly expect: string
}
interface OpeningCase {
  readonly name: string
  readonly label: CommitmentLabel
  readonly value: string
  readonly opening: string
  readonly commitment: string
  readonly expect: string
}
const statements = (load('statements') as { cases: StatementCase[] }).cases
const { cases: entries, openings } = load('entries') as { cases: EntryCase[]; openings: OpeningCase[] }

const currentShape = nullable(object({ sequence: integer(), digest: string() }))

async function verify(one: StatementCase): Promise<void> {
  const kind = statementKindShape(one.kind, 'kind')
  const envelope = envelopeShape(one.envelope, 'envelope')
  const keys = list(signatureJwk)(one.keys, 'keys')
  const current = currentShape(one.current, 'current')
  const signed = kind === 'tenant' ? await verifyTenantStatement(envelope) : await verifyStatement(kind, envelope, keys)
  verifySuccession(current && { value: current, digest: current.digest }, signed.value)
}

describe('vectors of statements', () => {
  test.each(statements)('$name: $expect', async (one) => {
    expect(await codeOfPromise(verify(one))).toBe(one.expect)
  })
  test('every kind is there, and every failure of a statement', () => {
    const found = new Set(statements.map((one) => one.expect))
    for (const code of ['ok', 'statement/chain', 'statement/tenant', 'statement/model']) expect(found).toContain(code)
    expect(new Set(statements.filter((one) => one.expect === 'ok').map((one) => one.kind)).size).toBe(8)
  })
})

describe('vectors of a host’s statement', () => {
  const { cases } = load('host-statement') as { cases: { name: string; expected: string; declaration: Json }[] }
  const verifyDeclaration = async (value: Json) => {
    const { statement, key } = hostDeclarationShape(value, 'host')
    return verifyHostStatement(statement, key)
  }
  test.each(cases)('$name: $expected', async ({ declaration, expected }) => {
    expect(await codeOfPromise(verifyDeclaration(declaration))).toBe(expected)
  })
  test('the page shows the first, and its payload', async () => {
    const [declaration, payload] = blocksOf('host-statement')
    expect(declaration).toEqual(cases[0]!.declaration)
    expect((await verifyDeclaration(declaration!)).value).toEqual(payload)
  })
})

describe('vectors of entries', () => {
  test.each(entries)('$name: $expect', (one) => {
    const leaf = one.leaf === null ? new Uint8Array(one.leafSize!) : utf8(one.leaf)
    expect(codeOf(() => parseEntry(leaf))).toBe(one.expect)
    if (one.leafHash === null) return
    expect(toHex(hashLeaf(leaf))).toBe(one.leafHash)
    expect(encodeEntry(parseEntry(leaf))).toEqual(leaf)
  })
  test.each(openings)('opening $name: $expect', ({ commitment, label, value, opening, expect: expected }) => {
    expect(codeOf(() => verifyCommitment(commitment, label, value, opening))).toBe(expected)
  })
  test('any bytes are an entry or a failure', () => {
    const known = entries.flatMap((one) => (one.leaf === null ? [] : [one.leaf]))
    fc.assert(
      fc.property(fc.constantFrom(...known), fc.nat(), fc.nat(255), (text, at, byte) => {
        const leaf = utf8(text)
        leaf[at % leaf.length] = byte
        codeOf(() => parseEntry(leaf)) // throws what is no Failure
      }),
      { numRuns: 300 },
    )
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void codeOf(() => parseEntry(bytes))))
  })
})

describe('the pages of docs/spec', () => {
  test('statements.md opens with a statement that verifies', async () => {
    const { envelope, key } = examples('statements')
    const signed = await verifyStatement('policy', envelopeShape(envelope!, ''), [signatureJwk(key!, '')])
    const shown = parseJson(
      utf8(readFileSync('docs/spec/statements.md', 'utf8').split('```json\n')[1]!.split('```')[0]!),
    )
    expect(parseJson(fromBase64(signed.envelope.payload))).toEqual(shown)
  })
  test('entries.md opens with an entry', () => {
    const shown = parseJson(utf8(readFileSync('docs/spec/entries.md', 'utf8').split('```json\n')[1]!.split('```')[0]!))
    expect(parseEntry(encodeEntry(shown as never)).kind).toBe('release')
  })
})

/** The JSON blocks of a page. */
function blocksOf(page: string): readonly { readonly [name: string]: Json }[] {
  const blocks = readFileSync(`docs/spec/${page}.md`, 'utf8').split('```json\n').slice(1)
  return blocks.map((block) => parseJson(utf8(block.split('```')[0]!)) as { readonly [name: string]: Json })
}

/** The JSON blocks of a page that are objects with these members. */
function examples(page: string): { envelope?: Json; key?: Json } {
  const values = blocksOf(page)
  const envelope = values.find((one) => 'payloadType' in one)
  const key = values.find((one) => 'kty' in one)
  return { ...(envelope && { envelope }), ...(key && { key }) }
}
