import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromBase64, utf8 } from '#core/bytes/bytes.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { isFailure } from '#core/failure.js'
import { parseAddCheckpoint } from '#core/tlog/add-checkpoint.js'
import { addSignatures, parseCheckpoint, signCheckpoint } from '#core/tlog/checkpoint.js'
import { cosign, cosignedMessage } from '#core/tlog/cosignature.js'
import { encodeNote, parseNote, parseSignatureLines, signNote, verifyNote } from '#core/tlog/note.js'
import { parsePolicy, verifyQuorum } from '#core/tlog/policy.js'
import { parseTlogProof } from '#core/tlog/proof.js'
import { expandTile, parseEntries, parseTilePath, placeOf, tilePath, tileWidthAt } from '#core/tlog/tiles.js'
import { verifyCheckpoint, verifyTlogProof } from '#core/tlog/verify.js'
import { encodeVkey, makeNoteSigner, parseVkey } from '#core/tlog/vkey.js'
import { newSigner, sampleProof } from '#test/core/tlog/trees.js'

const leaves = Array.from({ length: 11 }, (_, i) => utf8(`entry ${i}`))
const sample = await sampleProof(leaves, 6)

describe('signing and reading back', () => {
  test('a note by its own key, under the name of the key', async () => {
    const signer = await newSigner('example.org/some', 'log')
    const text = 'one line\n\nand another\n'
    const note = parseNote(encodeNote({ text, signatures: [await signNote(text, signer)] }))
    expect(note.text).toBe(text)
    const [verified] = await verifyNote(note, [parseVkey(encodeVkey(signer.verifier))])
    expect(verified).toMatchObject({ time: null, key: { name: 'example.org/some', use: 'log' } })
    expect(await verifyNote(note, [(await newSigner('example.org/some', 'log')).verifier])).toEqual([])
  })

  test('a cosignature, whose message is that of the document', async () => {
    const text = 'example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n'
    expect(cosignedMessage(1679315147, text)).toEqual(utf8(`cosignature/v1\ntime 1679315147\n${text}`))
    const signer = await newSigner('witness.example/w', 'cosigner')
    const line = await cosign(text, 1679315147, signer)
    expect(line.signature.length).toBe(72)
    const [verified] = await verifyNote({ text, signatures: [line] }, [signer.verifier])
    expect(verified?.time).toBe(1679315147)
  })

  test('a checkpoint only under the name of its log', async () => {
    const log = await newSigner('log.example/a', 'log')
    const head = { origin: 'log.example/a', size: 3, rootHash: new Uint8Array(32) }
    const { origin, size, rootHash } = parseCheckpoint(addSignatures(await signCheckpoint(head, log), []))
    expect({ origin, size, rootHash }).toEqual(head)
    await expect(signCheckpoint({ ...head, origin: 'log.example/b' }, log)).rejects.toMatchObject({
      code: 'tlog/checkpoint',
    })
  })

  test('no note with a text that does not end in a newline, and no key under a name with a space', async () => {
    expect(() => encodeNote({ text: 'text', signatures: [] })).toThrow(expect.objectContaining({ code: 'tlog/note' }))
    const { key } = await generateSigningKey('Ed25519')
    expect(() => makeNoteSigner('a b', 'log', key)).toThrow(expect.objectContaining({ code: 'tlog/vkey' }))
    const { key: p256 } = await generateSigningKey('ES256')
    expect(() => makeNoteSigner('a', 'log', p256)).toThrow(expect.objectContaining({ code: 'tlog/vkey' }))
  })
})

describe('a valid proof', () => {
  test('verifies and says where the entry stands and who cosigned', async () => {
    const verified = await verifyTlogProof(sample.proof, sample.leaf, sample.trust)
    expect(verified).toMatchObject({
      origin: 'log.example/one',
      index: 6,
      treeSize: 11,
      cosigners: [
        { name: 'w0', vkeyName: 'witness.example/a', time: 1_700_000_000 },
        { name: 'w1', vkeyName: 'witness.example/b', time: 1_700_000_000 },
      ],
    })
    const checkpoint = sample.proof.slice(sample.proof.indexOf('\n\n') + 2)
    expect((await verifyCheckpoint(checkpoint, sample.trust)).rootHash).toEqual(verified.rootHash)
  })

  test('fails with any byte of it changed, unless only an unknown signer is left', () =>
    fc.assert(
      fc.asyncProperty(fc.nat(sample.proof.length - 1), fc.integer({ min: 33, max: 126 }), async (at, code) => {
        const character = String.fromCharCode(code)
        if (sample.proof[at] === character) return
        const broken = sample.proof.slice(0, at) + character + sample.proof.slice(at + 1)
        const error = await verifyTlogProof(broken, sample.leaf, sample.trust).then(
          () => undefined,
          (reason: unknown) => reason,
        )
        expect(isFailure(error)).toBe(true)
      }),
      { numRuns: 300 },
    ))

  test('fails with any bit of the leaf flipped', () =>
    fc.assert(
      fc.asyncProperty(fc.nat(sample.leaf.length * 8 - 1), async (bit) => {
        const leaf = sample.leaf.slice()
        leaf[bit >> 3]! ^= 1 << (bit & 7)
        await expect(verifyTlogProof(sample.proof, leaf, sample.trust)).rejects.toMatchObject({
          code: 'tlog/root-mismatch',
        })
      }),
      { numRuns: 50 },
    ))
})

describe('parsers throw Failure and nothing else', () => {
  const parsers: Readonly<Record<string, (text: string) => unknown>> = {
    note: parseNote,
    lines: parseSignatureLines,
    checkpoint: parseCheckpoint,
    vkey: parseVkey,
    policy: parsePolicy,
    proof: parseTlogProof,
    tile: parseTilePath,
    'add-checkpoint': parseAddCheckpoint,
    entries: (text) => parseEntries(utf8(text)),
  }
  const seeds = [
    sample.proof,
    sample.trust.policy,
    sample.trust.logVkeys[0]!,
    sample.proof.slice(sample.proof.indexOf('\n\n') + 2),
    'tile/0/x001/234.p/5',
    'old 3\n\n',
  ]
  const mutated = fc
    .tuple(fc.constantFrom(...seeds), fc.nat(), fc.nat(20), fc.string({ unit: 'binary', maxLength: 12 }))
    .map(([seed, at, cut, text]) => {
      const place = at % (seed.length + 1)
      return seed.slice(0, place) + text + seed.slice(place + cut)
    })
  test.each(Object.entries(parsers))('%s', (_, parse) => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary-ascii' }), mutated), (text) => {
        try {
          parse(text)
        } catch (error) {
          expect(isFailure(error)).toBe(true)
        }
      }),
      { numRuns: 400 },
    )
  })

  test('and end at once on the longest texts', () => {
    const long = [
      '\n'.repeat(2 ** 20),
      'a '.repeat(2 ** 19),
      `text\n\n${'— a AAAAAAA=\n'.repeat(50_000)}`,
      '\t'.repeat(2 ** 20),
    ]
    for (const parse of Object.values(parsers)) for (const text of long) expect(() => parse(text)).toThrow()
  })
})

describe('tiles', () => {
  test('have one path each', () => {
    expect(tilePath({ level: 3, index: 1_234_067, width: 256 })).toBe('tile/3/x001/x234/067')
    fc.assert(
      fc.property(fc.nat(63), fc.maxSafeNat(), fc.integer({ min: 1, max: 256 }), (level, index, width) => {
        expect(parseTilePath(tilePath({ level, index, width }))).toEqual({ level, index, width })
      }),
    )
  })

  test('have the widths of the document’s example of 70,000 entries', () => {
    const widths = [
      [0, 272, 256],
      [0, 273, 112],
      [0, 274, 0],
      [1, 0, 256],
      [1, 1, 17],
      [2, 0, 1],
      [3, 0, 0],
    ] as const
    for (const [level, index, width] of widths) expect(tileWidthAt(level, index, 70_000)).toBe(width)
  })

  test('hold the nodes that lie between their hashes', () => {
    expect(placeOf({ level: 9, index: 300 })).toEqual({ level: 1, index: 2, row: 1, at: 44 })
    const tile = new Uint8Array(256 * 32).fill(7)
    expect(expandTile(tile).map((row) => row.length)).toEqual([256, 128, 64, 32, 16, 8, 4, 2, 1])
    expect(expandTile(tile.subarray(0, 96)).map((row) => row.length)).toEqual([3, 1])
  })
})

test('a quorum counts groups, and each witness once', async () => {
  const signers = await Promise.all(
    ['a', 'b', 'c', 'd'].map((name) => newSigner(`witness.example/${name}`, 'cosigner')),
  )
  const witnesses = signers.map((one, i) => `witness w${i} ${encodeVkey(one.verifier)}\n`).join('')
  const policy = parsePolicy(`${witnesses}group eu 2 w0 w1 w2\ngroup all-of-it all eu w3\nquorum all-of-it\n`)
  const text = `log.example/a\n0\n${'A'.repeat(43)}=\n`
  expect(fromBase64(`${'A'.repeat(43)}=`).length).toBe(32)
  const lines = await Promise.all(signers.map((one, i) => cosign(text, 100 + i, one)))
  const keys = signers.map((one) => one.verifier)
  const quorum = async (chosen: readonly number[], latest?: number) =>
    verifyQuorum(policy, await verifyNote({ text, signatures: chosen.map((i) => lines[i]!) }, keys), latest)
  expect((await quorum([0, 2, 3])).map((one) => one.name)).toEqual(['w0', 'w2', 'w3'])
  for (const chosen of [[0, 1, 2], [0, 3], [0, 0, 3], []]) {
    await expect(quorum(chosen)).rejects.toMatchObject({ code: 'tlog/quorum' })
  }
  await expect(quorum([0, 1, 3], 102)).rejects.toMatchObject({ code: 'tlog/quorum' })
  expect(await quorum([0, 1, 3], 103)).toHaveLength(3)
})

describe('two logs that a reader trusts', () => {
  test('do not speak for each other: a tree of the one that the other signed is nobody’s', async () => {
    const [one, other] = [await newSigner('log.example/one', 'log'), await newSigner('log.example/other', 'log')]
    const trust = { logVkeys: [one, other].map(({ verifier }) => encodeVkey(verifier)), policy: 'quorum none\n' }
    const head = { origin: 'log.example/one', size: 1, rootHash: new Uint8Array(32) }
    const note = await signCheckpoint(head, one)
    expect((await verifyCheckpoint(addSignatures(note, []), trust)).origin).toBe('log.example/one')
    const lying = encodeNote({ text: note.text, signatures: [await signNote(note.text, other)] })
    await expect(verifyCheckpoint(lying, trust)).rejects.toMatchObject({ code: 'tlog/unknown-log' })
  })

  test('are no witnesses: a policy in which a witness has the key of a log is none', async () => {
    const { key } = await generateSigningKey('Ed25519')
    const log = encodeVkey(makeNoteSigner('log.example/one', 'log', key).verifier)
    const witness = encodeVkey(makeNoteSigner('witness.example/one', 'cosigner', key).verifier)
    for (const lines of [
      [`log ${log}`, `witness w ${witness}`],
      [`witness w ${witness}`, `log ${log}`],
    ]) {
      expect(() => parsePolicy([...lines, 'quorum w', ''].join('\n'))).toThrow(
        expect.objectContaining({ code: 'tlog/policy' }),
      )
    }
  })
})
