import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runKekRotate } from '#cli/kek-rotate.js'
import { runKekCreate } from '#cli/keybroker.js'
import { runAll } from '#cli/serve.js'
import { runCreate } from '#cli/serve-create.js'
import { testIo } from '#test/e2e/fixtures.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { outside } from '#test/fakes/outside.js'
import { type SoftHsm, startSoftHsm } from '#test/fakes/softhsm.js'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'claviger-keybroker-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))
const origin = 'log.example/test'

test('a key is made where it is named, never by itself and never twice', async () => {
  expect(await codeOfPromise(runKekCreate({}, testIo()))).toBe('kek/setting')
  expect(await codeOfPromise(runKekCreate({ kek: 'kek.key' }, testIo()))).toBe('kek/setting')
  const io = testIo()
  const kek = `file:${join(folder, 'kek.key')}`
  expect(await runKekCreate({ kek, json: true }, io)).toBe(0)
  expect(JSON.parse(io.out())).toMatchObject({ provider: 'file', holder: 'operator' })
  expect(await codeOfPromise(runKekCreate({ kek }, testIo()))).toBe('file/exists')
})

const modulePath = outside('softhsm2')

describe.skipIf(modulePath === undefined)('services with their key in a token', () => {
  let hsm: SoftHsm
  beforeAll(() => {
    hsm = startSoftHsm(modulePath!)
    hsm.addToken('one')
  })
  afterAll(() => hsm.remove())
  const kek = () => `pkcs11:token=one;object=kek?module-path=${hsm.modulePath}&pin-source=file:${hsm.pinFile}`

  test('are made with one that is there, keep none in a file, and start with it alone', async () => {
    const state = join(folder, 'token')
    const create = () => runCreate({ state, origin, kek: kek() }, testIo())
    expect(await codeOfPromise(create())).toBe('kek/pkcs11-key-absent')
    expect(await runKekCreate({ kek: kek() }, testIo())).toBe(0)
    expect(await create()).toBe(0)
    expect(await readdir(join(state, 'broker'))).not.toContain('kek.key')

    const all = { state, listen: '127.0.0.1:0' }
    expect(await codeOfPromise(runAll(all, testIo(), Promise.resolve()))).toBe('file/absent')
    const io = testIo()
    expect(await runAll({ ...all, kek: kek() }, io, Promise.resolve())).toBe(0)
    expect(io.err()).toContain('KEK HELD BY OPERATOR')
  })

  test('from a file into a token: nothing is stored yet, and the key before has to be named', async () => {
    const state = join(folder, 'from-file')
    expect(await runCreate({ state, origin }, testIo())).toBe(0)
    const rotate = { state, kek: kek().replace('object=kek', 'object=next'), json: true }
    expect(await runKekCreate({ kek: rotate.kek }, testIo())).toBe(0)
    const io = testIo()
    const before = [`file:${join(state, 'broker', 'kek.key')}`]
    expect(await runKekRotate({ ...rotate, kekPrevious: before }, io)).toBe(0)
    expect(JSON.parse(io.out())).toMatchObject({
      to: { provider: 'pkcs11', holder: 'operator' },
      total: 0,
      rewrapped: 0,
      finished: true,
    })
    expect(await codeOfPromise(runKekRotate({ ...rotate, kekPrevious: [rotate.kek] }, testIo()))).toBe('kek/setting')
    expect(await codeOfPromise(runKekRotate({ ...rotate, kekPrevious: ['kek.key'] }, testIo()))).toBe('kek/setting')
  })
})
