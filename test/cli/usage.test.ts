import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterAll, describe, expect, test } from 'vitest'
import { createProgram, runCommandLine } from '#cli/program.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { encodeVkey, makeNoteSigner } from '#core/tlog/vkey.js'
import { testIo } from '#test/e2e/fixtures.js'

const work = mkdtempSync(join(tmpdir(), 'claviger-usage-'))
afterAll(() => rmSync(work, { recursive: true, force: true }))

/** How a command line ends, as the launcher says it. */
async function typed(words: readonly string[]) {
  const io = { ...testIo(), json: words.includes('--json') }
  await runCommandLine(words, io)
  return { code: io.code(), out: io.out(), err: io.err() }
}

/** A command line as a shell splits it, for words with quotes around them. */
const wordsOf = (line: string) => (line.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^"|"$/g, ''))

/** Every command that does something, with the words that call it. */
function leaves(command: Command, words: readonly string[] = []): readonly (readonly [string, Command])[] {
  const below = command.commands.flatMap((one) => leaves(one, [...words, one.name()]))
  // `bundle ENTRY` fetches, and has a verb besides.
  const isLeaf = below.length === 0 || command.registeredArguments.length > 0
  return isLeaf ? [[words.join(' '), command], ...below] : below
}

/** What an example leaves to whoever types it. */
const placeholders: Readonly<Record<string, string>> = {
  THUMBPRINT: 'A'.repeat(43),
  VKEY: encodeVkey(makeNoteSigner('log.example/acme', 'log', (await generateSigningKey('Ed25519')).key).verifier),
}

describe('every command', async () => {
  const all = leaves(await createProgram(testIo()))
  const helpOf = (command: Command) => {
    let text = ''
    command.configureOutput({
      writeOut: (piece) => {
        text += piece
      },
    })
    command.outputHelp()
    return text
  }

  test('is walked: those that everybody knows are among them', () => {
    const names = all.map(([name]) => name)
    expect(names).toEqual(
      expect.arrayContaining(['demo', 'dev', 'seal', 'run', 'verify', 'receipt verify', 'serve all', 'lease revoke']),
    )
    expect(names.length).toBeGreaterThan(30)
  })

  test('reads each of its options when it is given first, whatever else was', () => {
    const readers = all.flatMap(([name, command]) =>
      command.options.flatMap((one) => (one.parseArg === undefined ? [] : [[`${name} ${one.flags}`, one] as const])),
    )
    expect(readers.length).toBeGreaterThan(100)
    const crashes = readers.filter(([, one]) => {
      try {
        one.parseArg!('a=b', one.defaultValue)
        return false
      } catch (error) {
        return error instanceof TypeError
      }
    })
    expect(crashes.map(([name]) => name)).toEqual([])
  })

  test.each(all.map(([name, command]) => [name, command] as const))(
    '%s says in --help what it does, with an example that is typed as it stands',
    async (name, command) => {
      expect(command.description()).not.toBe('')
      for (const option of command.options) expect([option.long, option.description]).not.toContain('')
      const examples = /\nExamples?:\n((?: {2}.+\n?)+)/.exec(helpOf(command))?.[1]?.split('\n') ?? []
      const typed = examples.map((line) => line.trim().replace(/ +# .*$/, '')).filter((line) => line !== '')
      expect(typed.length).toBeGreaterThan(0)
      const called = (line: string) =>
        all
          .map(([one]) => one)
          .filter((one) => `${line} `.startsWith(`./claviger ${one} `))
          .toSorted((a, b) => b.length - a.length)[0]
      const own = typed.filter((line) => called(line) === name)
      if (typed.every((line) => line.startsWith('npm '))) return
      expect(own.length).toBeGreaterThan(0)
      for (const line of own) {
        const program = await createProgram(testIo())
        let ran = ''
        for (const [at, one] of leaves(program)) {
          one.action(() => {
            ran = at
          })
        }
        // What a shell would read or write is not the command's.
        const words = wordsOf(line.replace(/^\.\/claviger /, '').replace(/ [<>|].*$/, ''))
        await program.parseAsync(
          words.map((word) => placeholders[word] ?? word),
          { from: 'user' },
        )
        expect(ran).toBe(name)
      }
    },
  )

  const owners = {
    changes: [
      'keys new',
      'seal',
      'unseal',
      'init',
      'register',
      'policy set',
      'lease revoke',
      'caller add',
      'caller revoke',
      'token create',
      'token revoke',
      'sources set',
    ],
    reads: [
      'inspect',
      'policy show',
      'policy check',
      'policy diff',
      'policy dry-run',
      'policy report',
      'lease list',
      'caller list',
      'tenant show',
      'token list',
      'policy test',
      'policy explain',
      'sources show',
    ],
  }
  test.each([...owners.changes, ...owners.reads])('an owner’s %s speaks JSON', (name) => {
    expect(all.find(([one]) => one === name)?.[1].options.map((option) => option.long)).toContain('--json')
  })
  test.each(owners.changes)('an owner’s %s can be tried without effect', (name) => {
    expect(all.find(([one]) => one === name)?.[1].options.map((option) => option.long)).toContain('--dry-run')
  })
  test('none of an owner’s is missing here', () => {
    const known = [...owners.changes, ...owners.reads]
    const found = all
      .map(([name]) => name)
      .filter((name) => /^(keys|policy|lease|caller|tenant|token|sources|register|init|seal|unseal)( |$)/.test(name))
    expect(found.filter((name) => !known.includes(name))).toEqual(['policy library', 'policy schema'])
  })
})

describe('an option that cannot be meant', () => {
  const away = 'http://127.0.0.1:9'
  const owner = ['--broker', away, '--trust', '/nowhere', '--keys', '/nowhere']
  const register = ['register', '/nowhere', ...owner, '--policy', 'eu-only']
  const init = ['init', '--broker', away, '--out', join(work, 'trust.json')]
  const run = ['run', '--model', 'a/b', '--broker', away, '--sealed', '/nowhere']
  const seal = ['seal', '/nowhere', '--out', '/nowhere', '--keys', '/nowhere']
  const serve = (name: string) => ['serve', name, '--state', '/nowhere']
  test.each<readonly [string, readonly string[], string]>([
    ['--broker', ['init', '--broker', 'nonsense', '--out', '/nowhere'], 'https://broker.example'],
    ['--broker', ['init', '--broker', 'file:///etc', '--out', '/nowhere'], 'https://broker.example'],
    ['--broker', ['init', '--broker', 'http://127.0.0.1:9/x', '--out', '/nowhere'], 'https://broker.example'],
    ['--broker', ['init', '--broker', 'https://me:secret@127.0.0.1', '--out', '/nowhere'], 'https://broker.example'],
    ['--node', ['proxy', '--node', 'http://127.0.0.1:9/?a', '--trust', '/nowhere'], 'http://127.0.0.1:8790'],
    ['--broker-key', [...init, '--broker-key', 'zz'], '43 characters'],
    ['--owner', [...init, '--owner', 'Acme=keys'], 'acme=./keys'],
    ['--name', [...init, '--name', 'A B'], 'acme-1'],
    ['--days', [...init, '--days', '90d'], '90'],
    ['--days', [...init, '--days', '0'], '90'],
    ['--simulated-root', [...init, '--simulated-root', 'AB'], '64 characters'],
    ['--independent-witness', [...init, '--independent-witness', 'a b'], 'log.example/acme'],
    ['--runtime-publisher', [...init, '--runtime-publisher', 'x='], 'acme=./keys'],
    ['--crl-floor', [...init, '--crl-floor', '2026-11-25'], '=2026-11-25T00:00:00Z'],
    ['--model', [...run.slice(0, 2), 'A B', ...run.slice(3)], 'acme/whisper'],
    ['--broker', [...run, '--broker', 'localhost:80'], 'https://broker.example'],
    ['--listen', [...run, '--listen', ':80'], '127.0.0.1:8790'],
    ['--threads', [...run, '--threads', 'many'], '2'],
    ['--node', ['proxy', '--node', 'node', '--trust', '/nowhere'], 'http://127.0.0.1:8790'],
    ['--listen', ['proxy', '--node', away, '--trust', '/nowhere', '--listen', '80'], '127.0.0.1:8790'],
    ['--lease-seconds', [...register, '--lease-seconds', '0'], '3600'],
    ['--lease-requests', [...register, '--lease-requests', '1e3'], '100000'],
    ['--lease-bytes', [...register, '--lease-bytes', '-1'], '100000000'],
    ['--lease-units', [...register, '--lease-units', ''], '100000000'],
    ['--nodes', [...register, '--nodes', '100001'], '10'],
    ['--version-floor', [...register, '--version-floor', 'one'], '3'],
    ['--delivery', [...register, '--delivery', 'mail'], 'v1,kbs'],
    ['--class', [...register, '--class', 'test'], 'production, development'],
    ['--broker', ['lease', 'list', ...owner, '--broker', 'x'], 'https://broker.example'],
    ['--model', ['lease', 'list', ...owner, '--model', 'A'], 'acme/whisper'],
    ['--since', ['policy', 'report', 'm', ...owner, '--since', 'yesterday'], '2026-10-01'],
    ['--since', ['policy', 'report', 'm', ...owner, '--since', '0'], '30'],
    ['--until', ['policy', 'report', 'm', ...owner, '--until', '2026-02-30'], '2027-01-31'],
    ['--format', ['policy', 'report', 'm', ...owner, '--format', 'pdf'], 'md, html'],
    ['--last', ['policy', 'report', 'm', ...owner, '--last', '0'], '10000'],
    ['--kind', ['lease', 'revoke', 'x', ...owner, '--kind', 'node'], 'Allowed choices are measurement, platform'],
    ['--reason', ['lease', 'revoke', 'x', ...owner, '--reason', 'a\nb'], 'the disk was stolen'],
    ['--days', ['caller', 'add', 'x', ...owner, '--model', 'm', '--out', '/nowhere', '--days', '0'], '365'],
    ['--name', [...seal, '--version', '1', '--name', 'W'], 'acme-1'],
    ['--version', [...seal, '--version', '0', '--name', 'w'], '1'],
    ['--licence', [...seal, '--version', '1', '--name', 'w', '--licence', 'a;b'], 'Apache-2.0'],
    ['--prepared-by', [...seal, '--version', '1', '--name', 'w', '--prepared-by', 'x'], 'onnxruntime 1.30.0'],
    ['--name', ['keys', 'new', '--out', '/nowhere', '--name', 'a\nb'], 'acme'],
    ['--name', ['host', 'statement', '--name', 'N', '--out', '/nowhere'], 'acme-1'],
    ['--country', ['host', 'statement', '--name', 'n', '--out', '/nowhere', '--country', 'de'], 'DE'],
    ['--listen', [...serve('all'), '--listen', 'x'], '127.0.0.1:8790'],
    ['--witness', [...serve('keybroker'), '--witness', 'x'], 'http://127.0.0.1:8784'],
    ['--simulated-root', [...serve('attest'), '--simulated-root', 'x'], '64 characters'],
    ['--listen', ['console', '--listen', '8785'], '127.0.0.1:8790'],
    ['--log', [...serve('witness'), '--log', 'x'], 'log.example/acme+'],
    ['--origin', [...serve('create'), '--origin', 'a b'], 'log.example/acme'],
    ['--name', [...serve('create-witness'), '--name', 'a+b', '--log', 'x'], 'log.example/acme'],
    ['--broker-port', ['dev', '--broker-port', '70000'], '8780'],
    ['--lease-seconds', ['dev', '--lease-seconds', 'abc'], '600'],
    ['--broker', ['bundle', '1', '--broker', 'x', '--token', '/nowhere'], 'https://broker.example'],
  ])('%s is named, with an example: %j', async (option, words, example) => {
    const { code, out, err } = await typed(words)
    expect([code, out]).toEqual([2, ''])
    expect(err).toContain(`option '${option}`)
    expect(err).toContain(example)
    expect(err).not.toContain('secret')
  })
})
