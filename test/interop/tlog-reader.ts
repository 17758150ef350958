/**
 * A reader of our log that imports nothing of ours: written from the C2SP documents and RFC 6962 with node:crypto alone.
 * It starts the log as a process, follows its tiles, and rebuilds everything that the log claims.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, createPublicKey, verify } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const sha256 = (...parts: readonly Uint8Array[]) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}
const leafHash = (leaf: Uint8Array) => sha256(Buffer.from([0]), leaf)
const nodeHash = (left: Uint8Array, right: Uint8Array) => sha256(Buffer.from([1]), left, right)

/** RFC 6962, 2.1: MTH over hashes of leaves or of whole subtrees of one height. */
function treeHash(hashes: readonly Uint8Array[]): Uint8Array {
  if (hashes.length === 1) return hashes[0]!
  let split = 1
  while (split * 2 < hashes.length) split *= 2
  return nodeHash(treeHash(hashes.slice(0, split)), treeHash(hashes.slice(split)))
}

/** signed-note: "Verifier keys". */
function readVkey(vkey: string) {
  const [name = '', id = ''] = vkey.split('+')
  const material = Buffer.from(vkey.slice(name.length + id.length + 2), 'base64')
  const computed = sha256(Buffer.from(`${name}\n`), material).subarray(0, 4)
  expect(computed.toString('hex')).toBe(id)
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), material.subarray(1)])
  return { name, id, type: material[0], key: createPublicKey({ key: spki, format: 'der', type: 'spki' }) }
}

/** signed-note and tlog-cosignature: the text, if the log signed it and the witness cosigned it. */
function openCheckpoint(note: string, logVkey: string, witnessVkey: string): { size: number; root: Uint8Array } {
  const blank = note.lastIndexOf('\n\n')
  const text = note.slice(0, blank + 1)
  const lines = note.slice(blank + 2, -1).split('\n')
  for (const vkey of [logVkey, witnessVkey]) {
    const { name, id, type, key } = readVkey(vkey)
    const blobs = lines
      .filter((line) => line.startsWith(`— ${name} `))
      .map((line) => Buffer.from(line.split(' ')[2]!, 'base64'))
      .filter((blob) => blob.subarray(0, 4).toString('hex') === id)
    expect(blobs.length).toBe(1)
    const blob = blobs[0]!.subarray(4)
    const message = type === 1 ? text : `cosignature/v1\ntime ${blob.readBigUInt64BE(0)}\n${text}`
    expect(verify(null, Buffer.from(message), key, type === 1 ? blob : blob.subarray(8))).toBe(true)
  }
  const [origin, sizeLine, rootLine] = text.split('\n')
  expect(origin).toBe(readVkey(logVkey).name)
  return { size: Number(sizeLine), root: Buffer.from(rootLine!, 'base64') }
}

/** tlog-tiles: N in groups of three digits, all but the last after an x. */
function tileName(n: number, width: number): string {
  const digits = String(n).padStart(Math.ceil(String(n).length / 3) * 3, '0')
  const groups = digits.match(/.{3}/g)!
  return (
    groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/') +
    (width < 256 ? `.p/${width}` : '')
  )
}

/** Starts a log of so many entries, and reads it. */
export function testReader(size: number): void {
  const [lastTile, lastWidth] = [Math.floor(size / 256), size % 256]
  let server: ChildProcess
  let ready: { url: string; logVkey: string; witnessVkey: string }
  beforeAll(async () => {
    server = spawn(
      process.execPath,
      [join(import.meta.dirname, '../../dist/test/processes/log-server.js'), String(size)],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    )
    ready = await new Promise((resolve, reject) => {
      let text = ''
      server.once('exit', (code) => reject(new Error(`the log ended with ${code}: is dist built?`)))
      server.stdout!.on('data', (part) => {
        text += part
        if (text.includes('\n')) resolve(JSON.parse(text))
      })
    })
  })
  afterAll(() => server.kill('SIGKILL'))

  async function read(path: string, status = 200): Promise<{ bytes: Buffer; headers: Headers }> {
    const response = await fetch(`${ready.url}/${path}`)
    expect([path, response.status]).toEqual([path, status])
    return { bytes: Buffer.from(await response.arrayBuffer()), headers: response.headers }
  }

  /** All hashes of a level's tiles, read from the log. */
  async function readLevel(level: number): Promise<readonly Uint8Array[]> {
    const count = Math.floor(size / 256 ** level)
    const hashes: Uint8Array[] = []
    for (let n = 0; n * 256 < count; n++) {
      const width = Math.min(256, count - n * 256)
      const { bytes } = await read(`tile/${level}/${tileName(n, width)}`)
      expect(bytes.length).toBe(width * 32)
      for (let at = 0; at < bytes.length; at += 32) hashes.push(bytes.subarray(at, at + 32))
    }
    return hashes
  }

  test('tiles of every level lead from the entries to the cosigned root', async () => {
    const { bytes, headers } = await read('checkpoint')
    expect(headers.get('content-type')).toBe('text/plain; charset=utf-8')
    expect(headers.get('cache-control')).not.toMatch(/immutable|max-age=[1-9]\d/)
    const checkpoint = openCheckpoint(bytes.toString(), ready.logVkey, ready.witnessVkey)
    expect(checkpoint.size).toBe(size)

    const levels = [await readLevel(0), await readLevel(1), await readLevel(2)].filter((level) => level.length > 0)
    for (const [level, hashes] of levels.entries()) {
      if (level === 0) continue
      for (const [i, hash] of hashes.entries()) {
        expect(Buffer.compare(treeHash(levels[level - 1]!.slice(i * 256, i * 256 + 256)), hash)).toBe(0)
      }
    }
    expect(Buffer.compare(treeHash(levels[0]!), checkpoint.root)).toBe(0)

    for (const n of [0, lastTile]) {
      const width = n === lastTile ? lastWidth : 256
      const bundle = await read(`tile/entries/${tileName(n, width)}`)
      expect(bundle.headers.get('cache-control')).toMatch(/immutable/)
      let at = 0
      for (let i = 0; i < width; i++) {
        const length = bundle.bytes.readUInt16BE(at)
        const entry = bundle.bytes.subarray(at + 2, at + 2 + length)
        expect(entry.toString()).toBe(`entry ${n * 256 + i}`)
        expect(Buffer.compare(leafHash(entry), levels[0]![n * 256 + i]!)).toBe(0)
        at += 2 + length
      }
      expect(at).toBe(bundle.bytes.length)
    }
  })

  test.each([0, 255, 256, Math.floor(size / 3), lastTile * 256 - 1, size - 1])(
    'the proof of entry %i leads to the cosigned root',
    async (index) => {
      const { bytes } = await read(`v1/log/proofs/${index}`)
      const proof = bytes.toString()
      const blank = proof.indexOf('\n\n')
      const [first, indexLine, ...hashes] = proof.slice(0, blank).split('\n')
      expect([first, indexLine]).toEqual(['c2sp.org/tlog-proof@v1', `index ${index}`])
      const { root } = openCheckpoint(proof.slice(blank + 2), ready.logVkey, ready.witnessVkey)

      // RFC 9162, 2.1.3.2
      let hash: Uint8Array = leafHash(Buffer.from(`entry ${index}`))
      let [fn, sn] = [index, size - 1]
      for (const line of hashes) {
        expect(sn).not.toBe(0)
        const sibling = Buffer.from(line, 'base64')
        if (fn % 2 === 1 || fn === sn) {
          hash = nodeHash(sibling, hash)
          while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn >> 1, sn >> 1]
        } else {
          hash = nodeHash(hash, sibling)
        }
        ;[fn, sn] = [fn >> 1, sn >> 1]
      }
      expect(sn).toBe(0)
      expect(Buffer.compare(hash, root)).toBe(0)
    },
  )

  test.each([
    `tile/0/${tileName(lastTile + 1, 256)}`,
    `tile/0/${tileName(lastTile, lastWidth + 1)}`,
    `tile/0/${tileName(lastTile, 256)}`,
    `tile/0/${tileName(lastTile, 256)}.p/256`,
    `tile/0/${tileName(lastTile, 256)}.p/0`,
    `tile/0/x000/${tileName(lastTile, lastWidth)}`,
    'tile/00/000',
    'tile/3/000.p/1',
    'tile/64/000',
    `tile/entries/${tileName(lastTile + 1, 256)}`,
    'tile/-1/000',
    `tile/0/${'x999/'.repeat(30)}999`,
    `v1/log/proofs/${size}`,
    'v1/log/proofs/01',
    'v1/log/proofs/-1',
    'v1/log/proofs/9007199254740993',
  ])('%s is not there', async (path) => {
    const { headers } = await read(path, 404)
    expect(headers.get('cache-control')).toBe('no-store')
  })
}
