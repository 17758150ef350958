import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommandLine } from '#cli/program.js'
import { createOwnerKeys } from '#convert/keys/owner-keys.js'
import { shippedContent } from '#policies/registry/shipped/read.js'
import { testIo } from '#test/e2e/fixtures.js'
import { writeTrustFile } from '#test/fakes/trust-file.js'

const work = mkdtempSync(join(tmpdir(), 'claviger-registry-'))
const at = (name: string) => join(work, name)
afterAll(() => rmSync(work, { recursive: true, force: true }))

async function typed(...words: string[]) {
  const io = testIo()
  await runCommandLine(words, io)
  return { code: io.code(), out: io.out(), err: io.err() }
}

beforeAll(async () => {
  process.env.XDG_STATE_HOME = at('state')
  const keepers = []
  for (const alias of ['a', 'b', 'c'])
    keepers.push({ alias, key: (await createOwnerKeys(at(alias), alias)).signingKey.publicKey })
  await writeTrustFile(at('trust.json'), { registries: keepers.slice(0, 2) })
  await writeTrustFile(at('one.json'), { registries: keepers.slice(0, 1) })
  await writeTrustFile(at('none.json'), {})
})

describe('claviger registry', () => {
  test('signs what ships, and two of the trusted keys make it count', async () => {
    const sign = ['registry', 'sign', '--name', 'law', '--document-version', '1']
    expect(await typed(...sign, '--keys', at('a'), '--out', at('law.json'))).toMatchObject({ code: 0 })
    expect((await typed('registry', 'verify', at('law.json'), '--trust', at('trust.json'))).out).toContain(
      'registry/threshold',
    )
    expect((await typed('registry', 'verify', at('law.json'), '--trust', at('one.json'))).code).toBe(0)
    const cosign = (file: string, keys: string, out: string) =>
      typed('registry', 'cosign', at(file), '--keys', at(keys), '--out', at(out))
    expect(await cosign('law.json', 'a', 'again.json')).toMatchObject({
      code: 1,
      err: expect.stringContaining('keeper-sign/twice'),
    })
    expect((await cosign('law.json', 'c', 'stranger.json')).code).toBe(0)
    expect((await typed('registry', 'verify', at('stranger.json'), '--trust', at('trust.json'))).code).toBe(3)
    expect((await cosign('law.json', 'b', 'law-2.json')).code).toBe(0)
    const accepted = await typed('registry', 'verify', at('law-2.json'), '--trust', at('trust.json'), '--json')
    expect(accepted.code).toBe(0)
    expect(JSON.parse(accepted.out)).toMatchObject({ accepted: true, name: 'law', version: 1 })
    expect((await typed('registry', 'verify', at('law-2.json'), '--trust', at('none.json'))).code).toBe(3)
  })

  test('shows what a place belongs to, by a signed file only where its signers are trusted', async () => {
    expect((await typed('registry', 'show', 'BR', '--at', '2025-12-01')).out).toContain(
      'BR on 2025-12-01T00:00:00Z: BR\n',
    )
    expect((await typed('registry', 'show', 'BR', '--at', '2026-02-01')).out).toContain('(EU) 2026/179')
    expect(await typed('registry', 'show', 'UK')).toMatchObject({
      code: 3,
      out: expect.stringContaining('registry/unknown'),
    })
    const shown = await typed('registry', 'show', 'JP', '--at', '2026-02-01', '--shown', 'private-sector', '--json')
    expect(JSON.parse(shown.out).codes).toContain('EEA_OR_ADEQUATE')
    expect(await typed('registry', 'show', 'FR', '--file', at('law-2.json'))).toMatchObject({
      err: expect.stringContaining('usage/registry-trust'),
    })
    const signed = await typed('registry', 'show', 'FR', '--file', at('law-2.json'), '--trust', at('trust.json'))
    expect(signed.out).toContain('Registry: law version 1')
    expect(
      (await typed('registry', 'show', 'FR', '--file', at('law.json'), '--trust', at('trust.json'))).err,
    ).toContain('registry/threshold')
  })

  test('compares what ships with rows of a file, and signs the next version', async () => {
    const rows = shippedContent()
    const memberships = rows.memberships.filter(({ member, group }) => !(member === 'BR' && group === 'ADEQUATE'))
    writeFileSync(at('rows.json'), JSON.stringify({ ...rows, memberships }))
    const compared = await typed('registry', 'diff', 'shipped', at('rows.json'), '--at', '2026-06-01')
    expect(compared).toMatchObject({ code: 3, out: 'BR -ADEQUATE -EEA_OR_ADEQUATE\n' })
    expect((await typed('registry', 'diff', 'shipped', at('law.json'))).code).toBe(0)
    const next = (version: string, previous: string) =>
      typed(
        ...['registry', 'sign', '--keys', at('a'), '--rows', at('rows.json'), '--name', 'law'],
        ...['--document-version', version, '--previous', at(previous), '--out', at(`next-${version}.json`)],
      )
    expect((await next('2', 'law.json')).code).toBe(0)
    expect((await next('1', 'law.json')).err).toContain('keeper-sign/previous')
    expect((await typed('registry', 'diff', at('law.json'), at('next-2.json'), '--at', '2025-12-01')).code).toBe(0)
    writeFileSync(at('wrong.json'), JSON.stringify({ ...rows, countries: ['FR'] }))
    expect((await typed('registry', 'diff', 'shipped', at('wrong.json'))).code).toBe(1)
    expect(readFileSync(at('next-2.json'), 'utf8')).toContain('payload')
  })
})
