import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createProgram } from '#cli/program.js'
import { type SignatureJwk, thumbprint } from '#core/crypto/jwk.js'
import { packageRoot } from '#host/process.js'
import { testIo } from '#test/e2e/fixtures.js'
import { writeModelFolder } from '#test/fakes/graphs.js'
import { testReferenceValues } from '#test/fakes/platform.js'
import { anyDatabaseUrl } from '#test/fakes/postgres.js'

const work = mkdtempSync(join(tmpdir(), 'claviger-closed-'))
const at = (name: string) => join(work, name)
const facilityClaims = {
  vct: 'urn:claviger:vct:facility:1',
  facility: 'par-1',
  operators: ['LEI:X'],
  area: 'FR',
  exclave: false,
  visitedAt: 1,
}
let broker: Server
let url: string
let databaseUrl: string | null

/** Commands that hold keys, in an order in which each finds what it needs; `*` stands for options of all that speak to a broker. */
const holding: readonly (readonly [name: string, ...rest: string[]])[] = [
  ['keys new', '--out', at('keys'), '--name', 'acme'],
  ['seal', at('model'), '--out', at('sealed'), '--keys', at('keys'), '--name', 'tiny', '--version', '1'],
  ['unseal', at('sealed'), '--identity', at('keys/recovery-identity.txt'), '--out', at('opened')],
  ['keybroker kek seal', '--out', at('kek-sealed'), '--keys', at('keys'), '--name', 'kek-1'],
  ['init', '--broker', '=URL', '--owner', at('keys'), '--out', at('trust.json'), '--yes'],
  ['host statement', '--name', 'node-1', '--out', at('host.json')],
  ['register', at('sealed'), '--policy', 'eu-development', '*'],
  ['policy set', 'eu-development', '--model', 'tiny', '*'],
  ['policy show', '--model', 'tiny', '*'],
  ['policy dry-run', 'eu-development', '--model', 'tiny', '*'],
  ['policy report', 'tiny', '*'],
  ['approve list', '*'],
  ['approve show', 'a'.repeat(64), '*'],
  ['approve sign', 'a'.repeat(64), '--reason', 'R', '*'],
  ['approve cancel', 'a'.repeat(64), '--reason', 'R', '*'],
  ['approve set', at('approvers.json'), '*'],
  ['approve kek', 'A'.repeat(22), '*'],
  ['approve break-glass', 'eu-development', '--model', 'tiny', '--reason', 'R', '*'],
  ['lease list', '*'],
  ['lease revoke', 'a'.repeat(32), '*'],
  ['usage', 'tiny', '*'],
  ['doctor', '--model', 'tiny', '--sealed', at('sealed'), '--dangerous-allow-simulated', '*'],
  ['caller add', 'shop', '--model', 'tiny', '--out', at('shop'), '*'],
  ['caller list', '--model', 'tiny', '*'],
  ['caller revoke', 'shop', '--model', 'tiny', '*'],
  ['tenant show', '*'],
  ['token create', 'audit', '--role', 'auditor', '--out', at('audit.key'), '*'],
  ['token list', '*'],
  ['token revoke', 'audit', '*'],
  ['sources set', '--registry', at('law.json'), '--directory', at('who.json'), '--placement-salt', 'salt', '*'],
  ['sources show', '*'],
  ['bundle', '1', '--broker', '=URL', '--keys', at('keys')],
  [
    'reference sign',
    '--keys',
    at('keys'),
    '--values',
    at('values.json'),
    '--name',
    'line',
    '--set-version',
    '1',
    '--title',
    'T',
    '--out',
    at('set.json'),
  ],
  ['registry sign', '--keys', at('keys'), '--name', 'law', '--document-version', '1', '--out', at('law.json')],
  ['registry cosign', at('law.json'), '--keys', at('keys'), '--out', at('law-2.json')],
  [
    'credential directory sign',
    '--keys',
    at('keys'),
    '--rows',
    at('issuers.json'),
    '--name',
    'who',
    '--document-version',
    '1',
    '--out',
    at('who.json'),
  ],
  ['credential directory cosign', at('who.json'), '--keys', at('keys'), '--out', at('who-2.json')],
  [
    'credential issue',
    '--keys',
    at('keys'),
    '--claims',
    at('claims.json'),
    '--holder',
    at('keys/owner.pub.pem'),
    '--status',
    'https://issuer.example/1',
    '--index',
    '7',
    '--out',
    at('credential.txt'),
  ],
  [
    'credential present',
    at('credential.txt'),
    '--keys',
    at('keys'),
    '--audience',
    'b',
    '--nonce',
    'n',
    '--out',
    at('shown.txt'),
  ],
  ['credential status', '--keys', at('keys'), '--uri', 'https://issuer.example/1', '--out', at('status.jwt')],
  ['landmark create', '--state', at('fra-1'), '--name', 'fra-1'],
  ['landmark key', '--out', at('broker.key')],
  [
    'landmark sign',
    '--keys',
    at('keys'),
    '--rows',
    at('landmarks.json'),
    '--name',
    'where',
    '--document-version',
    '1',
    '--out',
    at('where.json'),
  ],
  ['landmark cosign', at('where.json'), '--keys', at('keys'), '--out', at('where-2.json')],
  [
    'landmark ticket',
    '--key',
    at('broker.key'),
    '--for',
    at('broker.key.pub.pem'),
    '--landmark',
    'fra-1',
    '--out',
    at('ticket.json'),
  ],
  [
    'landmark measure',
    '--key',
    at('broker.key'),
    '--landmark',
    'fra-1',
    '--ticket',
    at('ticket.json'),
    '--directory',
    at('where.json'),
    '--trust',
    at('trust.json'),
    '--out',
    at('receipt.json'),
  ],
  ['landmark serve', '--state', at('fra-1'), '--listen', '127.0.0.1:0', '--broker', at('broker.key.pub.pem')],
  ['keybroker kek create', '--kek', `file:${at('kek.key')}`],
  ['serve create', '--state', at('services')],
  ['serve create-witness', '--state', at('witness'), '--name', 'w.example/1', '--log', '=LOG'],
  ['serve all', '--state', at('services'), '--listen', '127.0.0.1:0'],
  ['serve keybroker', '--state', at('services'), '--witness', '=URL', '--listen', '127.0.0.1:0'],
  ['serve attest', '--state', at('services'), '--listen', '127.0.0.1:0'],
  ['serve witness', '--state', at('services'), '--listen', '127.0.0.1:0'],
  ['keybroker doctor', '--state', at('services'), '--witness', '=URL'],
  ['keybroker kek rotate', '--state', at('services'), '--dry-run'],
  ['keybroker acknowledge-rollback', '--state', at('services')],
  ['keybroker hybrid-key', '--state', at('services')],
  ['serve keys list', '--state', at('services')],
  ['serve keys announce', '--state', at('services')],
  ['serve keys roll', '--state', at('services')],
  ['serve keys retire', '=OLD', '--state', at('services')],
]
/** Commands without a private key, or with a test of their own where the reason says so. */
const others: Readonly<Record<string, string>> = {
  inspect: 'reads what is public',
  'runtime values': 'measures this runtime',
  verify: 'reads what others signed',
  'attest verify': 'reads what others signed',
  'attest explain': 'reads what others signed',
  console: 'serves pages',
  'serve console': 'serves pages',
  'receipt verify': 'reads what others signed',
  'registry show': 'reads what others signed',
  'registry verify': 'reads what others signed',
  'registry diff': 'reads rows',
  'landmark verify': 'reads what others signed',
  'landmark provability': 'reads a map',
  'credential show': 'reads what others signed',
  'credential verify': 'reads what others signed',
  'bundle verify': 'reads what others signed',
  audit: 'reads what others signed',
  access: 'a credential in a file; a key only with a bundle, read after main.js closed memory: test/cli/access.test.ts',
  'policy check': 'reads a policy',
  'policy diff': 'reads two policies',
  'policy library': 'reads policies',
  'policy schema': 'reads the schema',
  'policy test': 'reads a policy',
  'policy explain': 'reads what was decided',
  proxy: 'makes its keys per request, when it listens',
  'collateral export': 'reads what vendors signed',
  'collateral import': 'reads what vendors signed',
  'collateral fetch': 'reads what vendors signed',
  'collateral status': 'reads what vendors signed',
  'reference verify': 'reads what others signed',
  'reference import': 'reads what others signed',
  'reference list': 'reads what others signed',
  'reference show': 'reads what others signed',
  'reference diff': 'reads values',
  'model fetch': 'downloads',
  'serve log': 'reads what is public',
  run: 'its keys come after the engine: test/invariants/i01-closed.test.ts',
  dev: 'fetches a model first: test/invariants/i01-closed.test.ts',
  demo: 'fetches a model first; of the commands above',
}

beforeAll(async () => {
  databaseUrl = await anyDatabaseUrl()
  writeModelFolder(at('model'), 'external')
  const approvers = /```json\n([^`]+)```/.exec(readFileSync('docs/spec/approvals.md', 'utf8'))![1]!
  writeFileSync(at('approvers.json'), approvers)
  writeFileSync(at('issuers.json'), '{"issuers":[]}')
  writeFileSync(at('landmarks.json'), '{"landmarks":[]}')
  writeFileSync(at('claims.json'), JSON.stringify(facilityClaims))
  writeFileSync(at('values.json'), JSON.stringify(testReferenceValues()))
  const { cases } = JSON.parse(readFileSync('test/vectors/broker-document/cases.json', 'utf8')) as {
    cases: { envelope: unknown }[]
  }
  // A broker that shows its document and answers nothing else: every command has its keys by then.
  broker = createServer((request, response) => {
    if (request.url !== '/v1/broker') response.statusCode = 404
    response.setHeader('content-type', 'application/json').end(JSON.stringify(cases[0]!.envelope))
  })
  await new Promise<void>((resolve) => broker.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(broker.address() as AddressInfo).port}`
})
afterAll(() => {
  broker.close()
  rmSync(work, { recursive: true, force: true })
})

const made = (file: string) => JSON.parse(readFileSync(at(`services/${file}`), 'utf8'))
/** Words that are known once something runs or was made. */
const places: Readonly<Record<string, () => string>> = {
  '=URL': () => url,
  '=LOG': () => made('services.json').log,
  '=OLD': () => {
    const { current, keys } = made('verifier/keys.json') as { current: string; keys: { publicKey: SignatureJwk }[] }
    return keys.map(({ publicKey }) => thumbprint(publicKey)).find((id) => id !== current)!
  },
}

function wordsOf([name, ...rest]: (typeof holding)[number]): readonly string[] {
  const common = ['--broker', url, '--trust', at('trust.json'), '--keys', at('keys')]
  const filled = rest.flatMap((word) => (word === '*' ? common : word in places ? [places[word]!()] : [word]))
  return [...name.split(' '), ...filled]
}

/** What the watch saw of one run. A service is ended once it has shown its first key; a command ends by itself. */
async function seen(
  how: 'main' | 'program',
  words: readonly string[],
): Promise<{ keys: readonly string[]; said: string }> {
  const file = at(`seen-${Math.random()}`)
  writeFileSync(file, '')
  const script = join(packageRoot(), 'dist/test/processes/key-watch.js')
  const database = databaseUrl === null ? {} : { CLAVIGER_DATABASE_URL: databaseUrl }
  const env = { PATH: process.env.PATH, HOME: work, XDG_STATE_HOME: at('state'), ...database }
  const child = spawn(process.execPath, [script, how, file, ...words], {
    env,
    cwd: work,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => void (said += piece))
  const keys = () =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
  const serves =
    words[1] === 'serve' || (words[0] === 'serve' && words[1] !== 'keys' && !words[1]!.startsWith('create'))
  const timer = serves ? setInterval(() => keys().length > 0 && child.kill('SIGTERM'), 50) : undefined
  await new Promise((resolve) => child.once('close', resolve))
  clearInterval(timer)
  return { keys: keys(), said }
}

/** Every command that does something, by its words. */
function commandsOf(command: Command, words: readonly string[] = []): readonly string[] {
  const acts = command.commands.length === 0 || command.registeredArguments.length > 0
  return [
    ...(acts ? [words.join(' ')] : []),
    ...command.commands.flatMap((one) => commandsOf(one, [...words, one.name()])),
  ]
}

describe('memory is closed before a command has a key', () => {
  test('every command is known here, as one with keys or one without', async () => {
    const known = [...holding.map(([name]) => name), ...Object.keys(others)]
    expect([...commandsOf(await createProgram(testIo()))].sort()).toEqual([...known].sort())
  })

  // What the others need is made first; services share a database.
  const first = [
    'keys new',
    'seal',
    'init',
    'registry sign',
    'credential directory sign',
    'credential issue',
    'landmark create',
    'landmark key',
    'landmark sign',
    'landmark ticket',
  ]
  const alone = (one: (typeof holding)[number]) => first.includes(one[0]) || /^(serve|keybroker) /.test(one[0])
  const looked = async (_: string, one: (typeof holding)[number]) => {
    const { keys, said } = await seen('main', wordsOf(one))
    expect(keys.length, said).toBeGreaterThan(0)
    expect(keys.filter((line) => !line.startsWith('closed'))).toEqual([])
  }
  test.each(holding.filter(alone).map((one) => [one[0], one] as const))('%s', looked)
  test.concurrent.each(holding.filter((one) => !alone(one)).map((one) => [one[0], one] as const))('%s', looked)

  test('the control: without what main.js does first, the same watch finds the keys in open memory', async () => {
    const { keys } = await seen('program', wordsOf(['tenant show', '*']))
    expect(keys.some((line) => line.startsWith('open'))).toBe(true)
  })
})
