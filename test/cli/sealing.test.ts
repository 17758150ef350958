import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import * as inspect from '#cli/inspect.js'
import * as keys from '#cli/keys.js'
import { exitCodes, type Io, reportError } from '#cli/output.js'
import * as seal from '#cli/seal.js'
import * as unseal from '#cli/unseal.js'
import { loadModelKey } from '#convert/keys/owner-keys.js'
import { runtimeVersion } from '#runtime/engine/ort.js'
import { onnxModel } from '../fakes/onnx-models.js'

let work: string
let model: string
let count = 0

/** One run of the command line: what it printed, and how it ended. */
async function claviger(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const done = { code: -1, out: '', err: '' }
  const io: Io = {
    stdout: (text) => void (done.out += text),
    stderr: (text) => void (done.err += text),
    isTerminal: false,
    now: () => 1_780_000_000,
    exit: (code) => void (done.code = code),
    ask: async () => null,
  }
  const program = new Command('claviger').exitOverride().configureOutput({ writeErr: io.stderr, writeOut: io.stdout })
  for (const command of [keys, seal, inspect, unseal]) command.describe(program, io)
  try {
    await program.parseAsync(['node', 'claviger', ...args])
  } catch (error) {
    if (error instanceof Error && error.name === 'CommanderError') done.code = exitCodes.usage
    else done.code = reportError(io, error)
  }
  return done
}

const path = (...parts: string[]) => join(work, ...parts)
const fresh = (name: string) => path(`${name}-${++count}`)

function knownAnswers(input: string): string {
  const tensor = { datatype: 'FP32', shape: [1], data: [0] }
  const answer = {
    inputs: [{ name: input, ...tensor }],
    outputs: [{ name: 'y', ...tensor }],
    tolerance: { absolute: 0, relative: 0 },
  }
  return JSON.stringify({ format: 'claviger/known-answers/v1', answers: [answer] })
}

/** A graph whose 2.25 MiB of weights lie in another file, of three segments, and what belongs to it. */
function writeModel(folder: string): void {
  mkdirSync(join(folder, 'onnx'), { recursive: true })
  writeFileSync(join(folder, 'onnx/model.onnx'), onnxModel({ size: 768, external: { location: 'model.onnx_data' } }))
  writeFileSync(join(folder, 'onnx/model.onnx_data'), new Uint8Array(new Float32Array(768 * 768).fill(0.25).buffer))
  writeFileSync(join(folder, 'config.json'), '{"model_type":"linear"}')
  writeFileSync(join(folder, 'tokenizer.json'), '{}')
}

const sealArgs = (folder: string, out: string) => [
  ...['seal', folder, '--out', out, '--keys', path('keys'), '--name', 'linear', '--version', '3'],
]

/** Paths below a folder with the bytes that lie there. */
function contents(folder: string): Record<string, string> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()
  const files = names.filter((name) => statSync(join(folder, name)).isFile())
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(folder, name)).toString('base64')]))
}

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), 'claviger-sealing-'))
  expect((await claviger('keys', 'new', '--out', path('keys'), '--name', 'acme')).code).toBe(exitCodes.ok)
  writeModel(path('model'))
  const done = await claviger(...sealArgs(path('model'), path('sealed')))
  expect(done.err).not.toContain('error')
  expect(done.code).toBe(exitCodes.ok)
})
afterAll(() => rmSync(work, { recursive: true, force: true }))
beforeEach(() => {
  model = fresh('model')
  cpSync(path('model'), model, { recursive: true })
})

describe('claviger keys new', () => {
  test('tells which file has to leave, and keeps secrets to this user', async () => {
    const out = fresh('keys')
    const done = await claviger('keys', 'new', '--out', out, '--name', 'Müller & Söhne')
    expect(done.code).toBe(exitCodes.usage) // & means something to a shell: the name is for people
    const made = await claviger('keys', 'new', '--out', out, '--name', 'Müller', '--json')
    expect(made.code).toBe(exitCodes.ok)
    const { owner, files, recoveryRecipient } = JSON.parse(made.out)
    expect(owner).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(recoveryRecipient).toMatch(/^age1/)
    expect(made.err).toContain(`move ${files.recoveryIdentity}`)
    for (const file of [files.signingKey, files.recoveryIdentity]) expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readFileSync(files.publicKey, 'utf8')).toMatch(/^-----BEGIN PUBLIC KEY-----/)
    expect(made.out + made.err).not.toContain('AGE-SECRET-KEY')
  })

  test('--dry-run says what would be made and writes nothing', async () => {
    const out = fresh('keys')
    const before = contents(work)
    const done = await claviger('keys', 'new', '--out', out, '--name', 'acme', '--dry-run')
    expect(done).toMatchObject({ code: exitCodes.ok, out: expect.stringContaining(join(out, 'owner.key.pem')) })
    const json = await claviger('keys', 'new', '--out', out, '--name', 'acme', '--dry-run', '--json')
    expect(JSON.parse(json.out)).toMatchObject({ dryRun: true, name: 'acme' })
    const taken = await claviger('keys', 'new', '--out', path('keys'), '--name', 'acme', '--dry-run')
    expect(taken).toMatchObject({ code: exitCodes.failure, err: expect.stringContaining('keys/exists') })
    expect(contents(work)).toEqual(before)
  })

  test('never writes over keys', async () => {
    const before = contents(path('keys'))
    const done = await claviger('keys', 'new', '--out', path('keys'), '--name', 'acme')
    expect(done).toMatchObject({ code: exitCodes.failure, err: expect.stringContaining('keys/exists') })
    expect(contents(path('keys'))).toEqual(before)
  })
})

describe('claviger seal', () => {
  test('--dry-run says what would be sealed and writes nothing', async () => {
    const out = fresh('sealed')
    const before = contents(work)
    const done = await claviger(...sealArgs(model, out), '--dry-run', '--json')
    expect(done.code).toBe(exitCodes.ok)
    expect(JSON.parse(done.out)).toMatchObject({
      dryRun: true,
      files: [
        { path: 'config.json', role: 'config' },
        { path: 'onnx/model.onnx', role: 'graph' },
        { path: 'onnx/model.onnx_data', role: 'external-data', size: 2_359_296 },
        { path: 'tokenizer.json', role: 'tokenizer' },
      ],
    })
    expect(contents(work)).toEqual(before)
  })

  test('keeps the model’s key for registration, of the digest that it prints', async () => {
    const done = await claviger(...sealArgs(model, fresh('sealed')), '--json', '--licence', 'Apache-2.0')
    const { manifestDigest, model: id, version, files } = JSON.parse(done.out)
    expect({ version, files }).toEqual({ version: 3, files: 4 })
    expect(id).toMatch(/\/linear$/)
    expect((await loadModelKey(path('keys'), manifestDigest)).length).toBe(32)
  })

  test('a slash after the name of the output changes nothing', async () => {
    const out = fresh('sealed')
    expect((await claviger(...sealArgs(model, `${out}/`))).code).toBe(exitCodes.ok)
    expect(readdirSync(out).sort()).toEqual(['files', 'manifest.json', 'model.sig', 'recovery.age'])
  })

  test.each<[string, string, () => void]>([
    ['an unknown kind of file', 'seal/file', () => writeFileSync(join(model, 'notes.txt'), 'x')],
    ['a script', 'seal/file', () => writeFileSync(join(model, 'modeling.py'), 'x')],
    ['data that no graph names', 'seal/file', () => writeFileSync(join(model, 'onnx/other.onnx_data'), 'x')],
    ['a library', 'seal/file', () => writeFileSync(join(model, 'onnx/libcustom.so'), 'x')],
    ['a file that only says it is in ORT format', 'seal/file', () => writeFileSync(join(model, 'onnx/model.ort'), 'x')],
    [
      'known answers of another form',
      'seal/known-answers',
      () => writeFileSync(join(model, 'known-answers.json'), '{"format":"claviger/known-answers/v1","answers":[]}'),
    ],
    [
      'known answers of a tensor that the graph has not',
      'seal/known-answers',
      () => writeFileSync(join(model, 'known-answers.json'), knownAnswers('no-such-input')),
    ],
    [
      'known answers in a folder below',
      'seal/file',
      () => writeFileSync(join(model, 'onnx/known-answers.json'), knownAnswers('x')),
    ],
    ['a hidden file', 'path/form', () => writeFileSync(join(model, '.env'), 'x')],
    ['a symbolic link to a file', 'seal/file', () => symlinkSync('/etc/hostname', join(model, 'vocab.json'))],
    ['a symbolic link to a folder', 'seal/file', () => symlinkSync('/etc', join(model, 'etc'))],
    ['a graph that is none', 'onnx/', () => writeFileSync(join(model, 'onnx/b.onnx'), 'not protobuf')],
    ['external data that is not there', 'onnx/location', () => rmSync(join(model, 'onnx/model.onnx_data'))],
    [
      'external data outside of the folder',
      'onnx/location',
      () => {
        writeFileSync(path('outside.bin'), new Uint8Array(64))
        writeFileSync(join(model, 'b.onnx'), onnxModel({ external: { location: '../outside.bin' } }))
      },
    ],
    [
      'external data at an absolute path',
      'onnx/location',
      () => writeFileSync(join(model, 'b.onnx'), onnxModel({ external: { location: '/etc/hostname' } })),
    ],
    [
      'an operator of somebody’s library',
      'onnx/operator',
      () => writeFileSync(join(model, 'b.onnx'), onnxModel({ nodes: [{ type: 'Run', domain: 'com.evil' }] })),
    ],
    ['no graph', 'seal/folder', () => rmSync(join(model, 'onnx'), { recursive: true })],
  ])('refuses %s (%s), and leaves nothing', async (_what, code, spoil) => {
    spoil()
    const out = fresh('sealed')
    const done = await claviger(...sealArgs(model, out))
    expect(done.code).toBe(exitCodes.failure)
    expect(done.err).toContain(`(${code}`)
    expect(readdirSync(work).filter((name) => out.endsWith(name) || name.includes('.sealing-'))).toEqual([])
  })

  test('--prepare seals the engine’s own form too, under the engine’s name, and leaves the model’s folder as it was', async () => {
    const out = fresh('sealed')
    const before = contents(model)
    const done = await claviger(...sealArgs(model, out), '--prepare')
    expect(done).toMatchObject({ code: exitCodes.ok, err: expect.stringContaining('onnx/model.ort') })
    expect(contents(model)).toEqual(before)
    const { files } = JSON.parse((await claviger('inspect', out, '--json')).out)
    const form = files.find((file: { role: string }) => file.role === 'prepared-form')
    expect(form).toMatchObject({ path: 'onnx/model.ort', engine: `onnxruntime ${runtimeVersion}` })
  })

  test('a prepared form is sealed only when somebody says which engine made it', async () => {
    writeFileSync(join(model, 'onnx/model.ort'), Buffer.concat([Buffer.alloc(4), Buffer.from('ORTM'), Buffer.alloc(8)]))
    const by = ['--prepared-by', 'onnxruntime 1.2.3']
    expect((await claviger(...sealArgs(model, fresh('sealed')))).err).toContain('(seal/file)')
    expect((await claviger(...sealArgs(model, fresh('sealed')), '--prepare')).err).toContain('(seal/file)')
    expect((await claviger(...sealArgs(model, fresh('sealed')), '--prepare', ...by)).code).toBe(exitCodes.usage)
    expect(contents(model)).toHaveProperty('onnx/model.ort')
    const done = await claviger(...sealArgs(model, fresh('sealed')), ...by, '--dry-run', '--json')
    expect(JSON.parse(done.out).files).toContainEqual(expect.objectContaining({ engine: 'onnxruntime 1.2.3' }))
  })

  test('never seals into the folder that is sealed', async () => {
    const before = contents(model)
    const done = await claviger(...sealArgs(model, join(model, 'onnx/sealed')))
    expect(done).toMatchObject({ code: exitCodes.failure, err: expect.stringContaining('seal/output') })
    expect(contents(model)).toEqual(before)
  })

  test('never writes over what is there', async () => {
    const before = contents(path('sealed'))
    const done = await claviger(...sealArgs(model, path('sealed')))
    expect(done).toMatchObject({ code: exitCodes.failure, err: expect.stringContaining('seal/output') })
    expect(contents(path('sealed'))).toEqual(before)
  })

  test.each([
    ['--name', 'Whisper'],
    ['--name', '../x'],
    ['--version', '0'],
    ['--version', '1.5'],
    ['--licence', 'Apache-2.0; rm'],
  ])('refuses %s %s as usage', async (option, value) => {
    const args = sealArgs(model, fresh('sealed')).filter((one, i, all) => one !== option && all[i - 1] !== option)
    expect((await claviger(...args, option, value)).code).toBe(exitCodes.usage)
  })
})

describe('claviger inspect', () => {
  let copy: string
  beforeEach(() => {
    copy = fresh('copy')
    cpSync(path('sealed'), copy, { recursive: true })
  })
  const flip = (name: string, at: number) => {
    const bytes = readFileSync(join(copy, name))
    bytes[at < 0 ? bytes.length + at : at]! ^= 1
    writeFileSync(join(copy, name), bytes)
  }

  test('verifies a folder with nothing but the public key, and shows what it holds', async () => {
    const publicKey = path('keys/owner.pub.pem')
    const done = await claviger('inspect', path('sealed'), '--owner-key', publicKey)
    expect(done).toMatchObject({ code: exitCodes.ok, err: '' })
    expect(done.out).toMatch(/^verified {2}signature, 4 files, 6 segments/m)
    const json = JSON.parse((await claviger('inspect', path('sealed'), '--owner-key', publicKey, '--json')).out)
    expect(json).toMatchObject({ verified: true, owner: { pinned: true }, model: { version: 3 }, licence: null })
    expect(json.files.map((file: { path: string }) => file.path)).toContain('onnx/model.onnx_data')
    const unpinned = await claviger('inspect', path('sealed'), '--json')
    expect(JSON.parse(unpinned.out).owner.pinned).toBe(false)
  })

  test('shows no plaintext digest and nothing of the model’s contents', async () => {
    const { createHash } = await import('node:crypto')
    const done = await claviger('inspect', path('sealed'), '--json')
    const published = Object.values(contents(path('sealed'))).map((text) =>
      Buffer.from(text, 'base64').toString('latin1'),
    )
    for (const bytes of Object.values(contents(path('model')))) {
      const digest = createHash('sha256').update(Buffer.from(bytes, 'base64')).digest('hex')
      for (const text of [done.out, ...published]) expect(text).not.toContain(digest)
    }
  })

  const data = 'files/onnx/model.onnx_data.floe'
  test.each<[string, string, () => void]>([
    ['a bit of a segment', 'sealed/segment-digest', () => flip(data, 1_500_000)],
    ['the last bit', 'sealed/segment-digest', () => flip(data, -1)],
    ['a header', 'sealed/header', () => flip(data, 50)],
    ['a missing file', 'unseal/file', () => rmSync(join(copy, data))],
    [
      'a file cut short',
      'unseal/file',
      () => writeFileSync(join(copy, data), readFileSync(join(copy, data)).subarray(0, -1)),
    ],
    ['a file too many', 'sealed/statement', () => writeFileSync(join(copy, 'files/more.floe'), 'x')],
    ['another recovery key', 'sealed/statement', () => flip('recovery.age', -1)],
    [
      'a link in place of a file',
      'seal/file',
      () => {
        rmSync(join(copy, data))
        symlinkSync(path('sealed', data), join(copy, data))
      },
    ],
    [
      'a signature of something else',
      'sealed/statement',
      () => {
        const text = readFileSync(join(copy, 'manifest.json'), 'utf8')
        writeFileSync(join(copy, 'manifest.json'), text.replace('"version":3', '"version":4'))
      },
    ],
    ['no signature', 'unseal/file', () => rmSync(join(copy, 'model.sig'))],
    [
      'a pipe in place of the signature',
      'unseal/file',
      () => {
        rmSync(join(copy, 'model.sig'))
        execFileSync('mkfifo', [join(copy, 'model.sig')])
      },
    ],
    ['a signature cut short', 'json/', () => writeFileSync(join(copy, 'model.sig'), '{')],
  ])('refuses %s with exit 3 (%s)', async (_what, code, spoil) => {
    spoil()
    const done = await claviger('inspect', copy)
    expect(done.err).toContain(`(${code}`)
    expect(done).toMatchObject({ code: exitCodes.verdict, out: expect.stringContaining('NOT VERIFIED') })
    const json = await claviger('inspect', copy, '--json')
    expect(JSON.parse(json.out)).toMatchObject({ verified: false, failure: { code: expect.stringContaining(code) } })
  })

  test('refuses another owner’s key with exit 3, and a folder that is not sealed with exit 1', async () => {
    const other = fresh('keys')
    await claviger('keys', 'new', '--out', other, '--name', 'other')
    const done = await claviger('inspect', path('sealed'), '--owner-key', join(other, 'owner.pub.pem'))
    expect(done).toMatchObject({ code: exitCodes.verdict, err: expect.stringContaining('sealed/owner') })
    expect((await claviger('inspect', path('model'))).code).toBe(exitCodes.failure)
  })
})

describe('claviger unseal', () => {
  test('waits for no pipe in place of a sealed file, or of the recovery key', async () => {
    for (const name of ['files/onnx/model.onnx_data.floe', 'recovery.age']) {
      const folder = fresh('sealed')
      cpSync(path('sealed'), folder, { recursive: true })
      rmSync(join(folder, name))
      execFileSync('mkfifo', [join(folder, name)])
      const out = fresh('model')
      const done = await claviger('unseal', folder, '--identity', path('keys/recovery-identity.txt'), '--out', out)
      expect(done).toMatchObject({ code: exitCodes.failure, err: expect.stringContaining('unseal/file') })
      expect(existsSync(out)).toBe(false)
    }
  })

  test('gives back exactly the model, with the recovery identity alone', async () => {
    const moved = fresh('identity')
    cpSync(path('keys/recovery-identity.txt'), moved)
    chmodSync(moved, 0o600)
    const out = fresh('model')
    const dry = await claviger('unseal', path('sealed'), '--identity', moved, '--out', out, '--dry-run', '--json')
    expect(JSON.parse(dry.out)).toMatchObject({ dryRun: true, out })
    expect(existsSync(out)).toBe(false)
    const done = await claviger('unseal', path('sealed'), '--identity', moved, '--out', `${out}/`)
    expect(done).toMatchObject({ code: exitCodes.ok, err: '' })
    expect(contents(out)).toEqual(contents(path('model')))
    expect(statSync(out).mode & 0o077).toBe(0)
    const again = await claviger('unseal', path('sealed'), '--identity', moved, '--out', out)
    expect(again).toMatchObject({ code: exitCodes.failure, err: expect.stringContaining('unseal/output') })
  })

  test('refuses another identity, an altered segment and an identity that others may read', async () => {
    const out = fresh('model')
    const args = (folder: string, identity: string) => ['unseal', folder, '--identity', identity, '--out', out]
    const mine = path('keys/recovery-identity.txt')
    expect((await claviger(...args(path('sealed'), path('keys/store-identity.txt')))).err).toContain('keys/age')
    const copy = fresh('copy')
    cpSync(path('sealed'), copy, { recursive: true })
    const name = join(copy, 'files/onnx/model.onnx_data.floe')
    const bytes = readFileSync(name)
    bytes[2_000_000]! ^= 1
    writeFileSync(name, bytes)
    for (const more of [[], ['--dry-run']])
      expect((await claviger(...args(copy, mine), ...more)).err).toContain('sealed/segment-digest')
    const store = path('keys/store-identity.txt')
    expect((await claviger(...args(path('sealed'), store), '--dry-run')).err).toContain('keys/age')
    const open = fresh('identity')
    writeFileSync(open, readFileSync(mine), { mode: 0o644 })
    expect((await claviger(...args(path('sealed'), open))).err).toContain('file/permissions')
    expect(readdirSync(work).filter((one) => out.endsWith(one) || one.includes('.unsealing-'))).toEqual([])
  })
})
