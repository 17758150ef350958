import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommandLine } from '#cli/program.js'
import { createOwnerKeys, loadOwnerKeys } from '#convert/keys/owner-keys.js'
import { testIo } from '#test/e2e/fixtures.js'
import { writeTrustFile } from '#test/fakes/trust-file.js'

const work = mkdtempSync(join(tmpdir(), 'claviger-credential-'))
const at = (name: string) => join(work, name)
afterAll(() => rmSync(work, { recursive: true, force: true }))

async function typed(...words: string[]) {
  const io = testIo()
  await runCommandLine(words, io)
  return { code: io.code(), out: io.out(), err: io.err() }
}
const done = async (...words: string[]) => {
  const said = await typed(...words)
  expect(said, said.err).toMatchObject({ code: 0 })
  return said.out
}
const uri = 'https://issuer.example/status/1'
const company = 'LEI:529900T8BM49AURSDO55'

beforeAll(async () => {
  process.env.XDG_STATE_HOME = at('state')
  for (const name of ['keeper', 'auditor', 'operator']) await createOwnerKeys(at(name), name)
  const { signingKey } = await loadOwnerKeys(at('keeper'))
  const keeper = [{ alias: 'keeper', key: signingKey.publicKey }]
  await writeTrustFile(at('trust.json'), { registries: keeper, issuers: keeper })
  const auditor = (await loadOwnerKeys(at('auditor'))).signingKey.publicKey
  const roles = [{ kind: 'operator-control', areas: ['EEA'] }]
  const issuers = [{ id: 'auditor', title: 'An auditor', controlledBy: null, keys: [auditor], roles }]
  writeFileSync(at('issuers.json'), JSON.stringify({ issuers }))
  const controllers = [{ country: 'FR', shareBp: 10_000, veto: false }]
  const claims = {
    vct: 'urn:claviger:vct:operator-control:1',
    legalName: 'Exemple SA',
    ids: [company],
    seat: 'FR',
    controllers,
  }
  writeFileSync(at('claims.json'), JSON.stringify(claims))
  const keeping = ['--keys', at('keeper'), '--name', 'law', '--document-version', '1']
  await done('registry', 'sign', ...keeping, '--out', at('law.json'))
  await done('credential', 'directory', 'sign', ...keeping, '--rows', at('issuers.json'), '--out', at('who.json'))
})

const issue = (out: string, ...more: string[]) => [
  ...['credential', 'issue', '--keys', at('auditor'), '--claims', at('claims.json'), '--status', uri, '--index', '7'],
  ...['--holder', at('operator/owner.pub.pem'), '--out', at(out), ...more],
]
const status = (...more: string[]) => ['credential', 'status', '--keys', at('auditor'), ...more]
const verify = (file: string, list: string, ...more: string[]) =>
  typed(
    ...['credential', 'verify', at(file), '--directory', at('who.json'), '--registry', at('law.json')],
    ...['--trust', at('trust.json'), '--status', `${uri}=${at(list)}`, ...more],
  )

describe('claviger credential', () => {
  test('an issuer signs, a holder shows what it chooses to one reader, and the reader verifies', async () => {
    await done(...issue('operator.txt'))
    await done(...status('--uri', uri, '--out', at('status.jwt')))
    const plain = await verify('operator.txt', 'status.jwt')
    expect(plain.code).toBe(0)
    expect(plain.out).toContain('NOT SHOWN that its holder presents it')
    const shown = await done('credential', 'show', at('operator.txt'), '--json')
    expect(JSON.parse(shown)).toMatchObject({ disclosable: ['controllers'], isPresented: false })

    const present = [
      'credential',
      'present',
      at('operator.txt'),
      '--keys',
      at('operator'),
      '--audience',
      'broker',
      '--nonce',
      'n1',
    ]
    await done(...present, '--show', 'controllers', '--out', at('shown.txt'))
    const presented = ['--audience', 'broker', '--nonce', 'n1', '--json']
    expect(JSON.parse((await verify('shown.txt', 'status.jwt', ...presented)).out)).toMatchObject({
      accepted: true,
      kind: 'operator-control',
      issuer: 'auditor',
      isBound: true,
      claims: { seat: 'FR', controllers: [{ country: 'FR' }] },
    })
    await done(...present, '--out', at('closed.txt'))
    const closed = JSON.parse((await verify('closed.txt', 'status.jwt', ...presented)).out)
    expect(closed.claims.controllers).toBeUndefined()
    expect(
      JSON.parse((await verify('shown.txt', 'status.jwt', '--audience', 'broker', '--nonce', 'n2', '--json')).out),
    ).toMatchObject({
      accepted: false,
      code: 'sd-jwt/binding',
    })
    expect((await typed(...present, '--show', 'ual', '--out', at('x.txt'))).err).toContain('sd-jwt/disclosure')
    expect(existsSync(at('x.txt'))).toBe(false)
  })

  test('an issuer revokes, and from then on the credential does not count; a suspended one comes back', async () => {
    await done(...status('--from', at('status.jwt'), '--revoke', '7', '--out', at('status-2.jwt')))
    const revoked = await verify('operator.txt', 'status-2.jwt')
    expect(revoked).toMatchObject({ code: 3, out: expect.stringContaining('credential/revoked') })
    await done(...status('--from', at('status-2.jwt'), '--restore', '7', '--out', at('status-3.jwt')))
    expect((await verify('operator.txt', 'status-3.jwt')).code).toBe(0)
    const other = ['credential', 'status', '--keys', at('operator'), '--from', at('status.jwt'), '--out', at('no.jwt')]
    expect((await typed(...other)).err).toContain('jws/key')
    expect((await typed(...status('--out', at('no.jwt')))).err).toContain('usage/status-from')
    expect(
      (await typed(...status('--from', at('status.jwt'), '--revoke', '200000', '--out', at('no.jwt')))).err,
    ).toContain('status-list/index')
    expect(existsSync(at('no.jwt'))).toBe(false)
  })

  test('nothing is written over, and a claim that the command writes is refused', async () => {
    const before = readFileSync(at('operator.txt'), 'utf8')
    expect((await typed(...issue('operator.txt'))).err).toContain('file/exists')
    expect(readFileSync(at('operator.txt'), 'utf8')).toBe(before)
    writeFileSync(at('claims.json'), JSON.stringify({ vct: 'urn:claviger:vct:operator-control:1', exp: 1 }))
    expect((await typed(...issue('other.txt'))).err).toContain('credential-issue/claims')
    writeFileSync(at('claims.json'), JSON.stringify({ vct: 'urn:claviger:vct:operator-control:1', legalName: 'x' }))
    expect((await typed(...issue('other.txt'))).err).toContain('shape/missing')
    writeFileSync(at('claims.json'), JSON.stringify({ vct: 'urn:other' }))
    expect((await typed(...issue('other.txt'))).err).toContain('credential/kind')
    expect((await verify('claims.json', 'status.jwt')).code).toBe(3)
  })
})
