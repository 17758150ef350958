import { execFileSync } from 'node:child_process'
import {
  chmodSync,
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
import { afterAll, describe, expect, test, vi } from 'vitest'
import { utf8 } from '#core/bytes/bytes.js'
import { createSecretFile, readSecretFile, writeFileDurably } from '#host/files.js'

const folder = mkdtempSync(join(tmpdir(), 'claviger-files-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (name: string) => join(folder, name)

describe('files that a process keeps', () => {
  test('are replaced whole and leave nothing beside them', async () => {
    mkdirSync(at('whole'))
    await writeFileDurably(at('whole/file'), utf8('one'))
    await writeFileDurably(at('whole/file'), utf8('two'), { mode: 0o600 })
    expect(readFileSync(at('whole/file'), 'utf8')).toBe('two')
    expect(statSync(at('whole/file')).mode & 0o777).toBe(0o600)
    expect(readdirSync(at('whole'))).toEqual(['file'])
    await expect(writeFileDurably(at('absent/file'), utf8('x'))).rejects.toMatchObject({ code: 'ENOENT' })
    await expect(writeFileDurably(at('whole'), utf8('x'))).rejects.toThrow()
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  test('hold a secret for this user alone, and are not written over', async () => {
    await createSecretFile(at('secret'), utf8('key'))
    expect(statSync(at('secret')).mode & 0o777).toBe(0o600)
    const secret = await readSecretFile(at('secret'))
    expect(secret).toEqual(utf8('key'))
    // A typed array of up to 64 bytes of its own would lie on the JavaScript heap, where the collector copies it.
    expect(secret.buffer.byteLength).toBeGreaterThan(64)
    await expect(createSecretFile(at('secret'), utf8('other'))).rejects.toMatchObject({ code: 'file/exists' })
    expect(readFileSync(at('secret'), 'utf8')).toBe('key')
  })

  test.each([
    ['a file that others may read', 'file/permissions'],
    ['a symbolic link', 'file/kind'],
    ['a folder', 'file/kind'],
    ['a pipe', 'file/kind'],
    ['no file', 'file/absent'],
    ['a huge file', 'file/size'],
  ])('refuses %s as a secret', async (what, code) => {
    const path = at(what.replaceAll(' ', '-'))
    if (what === 'a symbolic link') symlinkSync(at('secret'), path)
    else if (what === 'a folder') mkdirSync(path, { mode: 0o700 })
    else if (what === 'a pipe') execFileSync('mkfifo', ['-m', '600', path])
    else if (what !== 'no file') writeFileSync(path, Buffer.alloc(what === 'a huge file' ? 70_000 : 3), { mode: 0o600 })
    if (what === 'a file that others may read') chmodSync(path, 0o640)
    await expect(readSecretFile(path)).rejects.toMatchObject({ code })
  })

  test('refuses the file of another user as a secret, though root may read it', async () => {
    await createSecretFile(at('own'), utf8('key'))
    expect(await readSecretFile(at('own'))).toEqual(utf8('key'))
    const { uid } = statSync(at('own'))
    const other = vi.spyOn(process, 'geteuid').mockReturnValue(uid + 1)
    await expect(readSecretFile(at('own'))).rejects.toMatchObject({ code: 'file/permissions' })
    other.mockRestore()
  })
})
