import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as approveCommand from '#cli/approve.js'
import type { Io } from '#cli/output.js'
import * as policyCommand from '#cli/policy.js'
import { createOwnerKeys } from '#convert/keys/owner-keys.js'
import type { Ed25519Jwk } from '#core/crypto/jwk.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { parseEntry } from '#core/wire/entries.js'
import { signTrust, type Trust } from '#core/wire/trust-file.js'
import { type Listening, listen } from '#host/listen.js'
import { createTenant } from '#keybroker/changes.js'
import { registerModel } from '#keybroker/register.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { testPlatform, testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import { person, setBody } from '#test/keybroker/approvals-world.js'
import {
  ask,
  granted,
  permitAll,
  type Registered,
  registration,
  sealTiny,
  startTime,
  tenantStatement,
  testBroker,
  testNode,
} from '#test/keybroker/fixtures.js'
import { application } from '#test/keybroker/served.js'

const { open } = anyDatabase()
let folder: string
let listening: Listening
let chain: Registered
let made: Awaited<ReturnType<typeof testBroker>>
const at = (name: string) => join(folder, name)

async function type(command: { describe(program: Command, io: Io): void }, words: readonly string[]) {
  const said = { out: '', err: '', code: -1 }
  const io: Io = {
    stdout: (text) => void (said.out += text),
    stderr: (text) => void (said.err += text),
    isTerminal: false,
    now: () => made.clock.now,
    exit: (code) => void (said.code = code),
    ask: async () => null,
  }
  const program = new Command('claviger').exitOverride().configureOutput({ writeErr: (text) => io.stderr(text) })
  command.describe(program, io)
  await program.parseAsync(['node', 'claviger', ...words])
  return said
}
const as = (who: string) => ['--broker', listening.url, '--trust', at('trust.json'), '--keys', at(who), '--json']
const approve = async (...words: string[]) => JSON.parse((await type(approveCommand, ['approve', ...words])).out)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-approve-'))
  process.env.XDG_STATE_HOME = at('state')
  made = await testBroker(await open(), { now: Math.floor(Date.now() / 1000) })
  const { app } = await application(made)
  listening = await listen(app, { host: '127.0.0.1', port: 0 })
  const { signingKey } = await createOwnerKeys(at('owner'), 'acme')
  const owner = await sealTiny(signingKey, 'whisper', 1, new Map())
  const platform = await testPlatform({ at: startTime })
  await createTenant(made.broker, await tenantStatement(owner, 'development'))
  await registerModel(made.broker, await registration(made, owner, platform, { policy: permitAll }))
  const people = []
  for (const name of ['ada', 'bo']) {
    const { signingKey: key } = await createOwnerKeys(at(name), name)
    people.push({ ...(await person(name)), key })
  }
  chain = { test: made, owner, platform }
  await writeFile(at('approvers.json'), JSON.stringify(setBody(people, chain)))
  await writeFile(at('other.cedar'), permitAll.replace('all', 'other'))
  const trust: Trust = {
    type: 'claviger/trust/v1',
    name: 'mine',
    version: 1,
    issuedAt: startTime - 60,
    expiresAt: startTime + 86_400,
    owners: [{ alias: 'acme', key: signingKey.publicKey }],
    brokers: [{ alias: 'broker', key: made.broker.signer.publicKey as Ed25519Jwk }],
    verifiers: [{ alias: 'verifier', key: made.verifier.publicKey }],
    logs: [made.testLog.vkey],
    witnessPolicy: made.testLog.quorumPolicy,
    independentWitnesses: [],
    runtimes: [],
    runtimePublishers: [],
    registries: [],
    issuers: [],
    collateralFloors: [],
    simulatedRoots: [platform.rootDigest],
  }
  const { key: author } = await generateSigningKey('Ed25519')
  await writeFile(at('trust.json'), JSON.stringify(await signTrust(trust, author)))
})

afterAll(async () => {
  await listening.close()
  await made.close()
  await rm(folder, { recursive: true, force: true })
})

test('an owner names approvers, and they agree to a looser policy at their own terminals', async () => {
  expect(await approve('set', at('approvers.json'), ...as('owner'))).toMatchObject({ isNew: true, pending: false })
  const set = ['policy', 'set', at('other.cedar'), '--model', 'whisper']
  const why = ['--why', 'compliance', '--note', 'ticket 4711']
  const proposed = JSON.parse((await type(policyCommand, [...set, ...why, ...as('owner')])).out)
  expect(proposed).toMatchObject({ isNew: true, pending: true })

  const { proposals, me } = await approve('list', ...as('ada'))
  expect(me).toBe('ada')
  expect(proposals).toMatchObject([{ kind: 'policy', state: 'waiting', agreed: [], threshold: 2 }])
  const { digest } = proposals[0] as { digest: string }
  const shown = await approve('show', digest.slice(0, 12), ...as('bo'))
  expect([shown.last.text, shown.next.text]).toEqual([permitAll, permitAll.replace('all', 'other')])

  const sign = ['sign', digest.slice(0, 12), '--reason', 'ticket 4711']
  expect(await approve(...sign, '--dry-run', ...as('ada'))).toMatchObject({ dryRun: true, inForce: false })
  expect((await approve('list', ...as('ada'))).proposals[0].agreed).toEqual([])
  expect(await approve(...sign, ...as('ada'))).toMatchObject({ inForce: false })
  // The owner is none of them, and nobody else is let in.
  expect(await codeOfPromise(approve(...sign, ...as('owner')))).toBe('approve/approver')
  await createOwnerKeys(at('eve'), 'eve')
  expect(await codeOfPromise(approve('list', ...as('eve')))).toBe('owner/refused')
  expect(await approve(...sign, ...as('bo'))).toMatchObject({ inForce: true })
  expect((await approve('list', ...as('owner'))).proposals[0].state).toBe('in force')
  expect(shown.next.why).toEqual({ code: 'compliance', note: 'ticket 4711' })
  const leaves = await made.broker.store.read((reader) => reader.listStateEntries(chain.owner.id))
  expect(parseEntry(leaves.at(-1)!)).toMatchObject({ kind: 'state', change: 'policy', reason: 'compliance' })
  expect(await codeOfPromise(approve(...sign, ...as('bo')))).toBe('approve/proposal')
})

test('a policy is tried on what was decided: what it would have refused, and what it would have allowed', async () => {
  const node = await testNode(chain)
  granted(await ask(chain, node))
  await ask(chain, node, { change: (request) => ({ ...request, modelVersion: 9 }) })
  const closed = '@id("late") permit (principal, action, resource) when { context.time < 5 };'
  await writeFile(at('closed.cedar'), closed)
  const dry = async (...words: string[]) => {
    const said = await type(policyCommand, ['policy', 'dry-run', ...words, '--model', 'whisper', ...as('owner')])
    return { ...JSON.parse(said.out), code: said.code }
  }
  const refused = await dry(at('closed.cedar'))
  expect(refused).toMatchObject({ decisions: 2, allowed: [], notVerified: [], code: 0 })
  expect(refused.refused).toMatchObject([{ kind: 'release', would: 'deny', reasons: [{ id: 'late' }] }])
  expect(await dry(at('other.cedar'))).toMatchObject({ decisions: 2, refused: [], allowed: [] })
  expect(await dry(at('other.cedar'), '--last', '1')).toMatchObject({ decisions: 1 })
  const values = testReferenceValues()
  const strict = { ...values, snp: { ...values.snp!, measurements: ['cd'.repeat(48)] } }
  await writeFile(at('values.json'), JSON.stringify(strict))
  const strange = await dry('--reference-values', at('values.json'))
  expect(strange.refused[0].reasons[0].id).toBe('attest/measurement')
  // One rule more tightens, so it needs nobody else; what it then denied, the policy before would have allowed.
  await writeFile(
    at('tight.cedar'),
    `${permitAll.replace('all', 'other')} @id("no") forbid (principal, action, resource);`,
  )
  const tight = ['policy', 'set', at('tight.cedar'), '--model', 'whisper', ...as('owner')]
  expect(JSON.parse((await type(policyCommand, tight)).out)).toMatchObject({ pending: false })
  await ask(chain, await testNode(chain))
  const looser = await dry(at('other.cedar'))
  expect(looser).toMatchObject({ decisions: 3, allowed: [{ kind: 'denial', before: ['no'], would: 'allow' }] })
  expect(await codeOfPromise(dry())).toBe('dry-run/nothing')
})

test('and one of them calls another off', async () => {
  await writeFile(at('third.cedar'), permitAll.replace('all', 'third'))
  await type(policyCommand, ['policy', 'set', at('third.cedar'), '--model', 'whisper', ...as('owner')])
  const listed = async () => (await approve('list', ...as('bo'))).proposals as { digest: string; state: string }[]
  const waiting = (await listed()).find(({ state }) => state === 'waiting')
  const cancel = ['cancel', waiting!.digest, '--reason', 'not reviewed', ...as('bo')]
  expect(await approve(...cancel, '--dry-run')).toMatchObject({ dryRun: true })
  expect(await approve(...cancel)).toMatchObject({ dryRun: false })
  expect((await listed()).find(({ digest }) => digest === waiting!.digest)?.state).toBe('cancelled')
})
