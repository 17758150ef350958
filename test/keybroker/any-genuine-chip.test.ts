import { expect, test } from 'vitest'
import { fromBase64 } from '#core/bytes/bytes.js'
import { parseCanonicalJson } from '#core/encoding/json.js'
import type { Lease } from '#core/wire/lease.js'
import { statementShapes } from '#core/wire/statements.js'
import { anyDatabase } from '#test/fakes/postgres.js'
import {
  asHardware,
  ask,
  change,
  gist,
  granted,
  permitAll,
  productionConfig,
  type Registered,
  type RegistrationOptions,
  registered,
  testNode,
} from './fixtures.js'

const { open } = anyDatabase()
const chainWith = async (options: RegistrationOptions) => registered(await open(), { class: 'production', ...options })
const asked = async (chain: Registered) => ask(asHardware(chain), await testNode(chain, { config: productionConfig }))
const leaseOf = async (chain: Registered) =>
  parseCanonicalJson(fromBase64(granted(await asked(chain)).lease.payload)) as unknown as Lease

test('a production key goes to no chip that nobody placed, unless the owner signed that any genuine one will do', async () => {
  const chain = await chainWith({ accepts: 'nothing' })
  expect(gist(await asked(chain))).toBe('judge/any-genuine-chip')
  await change(chain, 'policy', { name: 'open', language: 'cedar', text: permitAll, accepts: 'any-genuine-chip' })
  expect((await leaseOf(chain)).policy).toMatchObject({ name: 'open', accepts: 'any-genuine-chip' })
  // It is said of one policy: the next one says it again, or it is over.
  await change(chain, 'policy', { name: 'next', language: 'cedar', text: permitAll })
  expect(gist(await asked(chain))).toBe('judge/any-genuine-chip')
  await chain.test.close()
})

test('a policy that asks for a placement needs no such word', async () => {
  const text = `${permitAll.replace(';', '')} when { context.site.proven && context.site.grade >= 3 };`
  const chain = await chainWith({ accepts: 'nothing', policy: text })
  const outcome = gist(await asked(chain))
  expect(outcome).toContain('permit-all')
  expect(outcome).not.toContain('any-genuine-chip')
  await chain.test.close()
})

test('a development tenant needs none either', async () => {
  const chain = await registered(await open(), {})
  expect(gist(await ask(chain, await testNode(chain)))).toBe('granted')
  await chain.test.close()
})

test('a statement accepts this and nothing else', () => {
  const statement = {
    type: 'claviger/statement/policy/v1',
    tenant: 'A'.repeat(43),
    sequence: 1,
    previous: null,
    issuedAt: 1,
    model: `${'A'.repeat(43)}/m`,
    name: 'p',
    language: 'cedar',
    text: permitAll,
  }
  expect(statementShapes.policy(statement, 'policy').accepts).toBe(undefined)
  expect(statementShapes.policy({ ...statement, accepts: 'any-genuine-chip' }, 'policy').accepts).toBe(
    'any-genuine-chip',
  )
  for (const accepts of ['anything', '', null, true, ['any-genuine-chip']])
    expect(() => statementShapes.policy({ ...statement, accepts } as never, 'policy')).toThrow()
})
