import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as auditCommand from '#cli/audit.js'
import * as bundleCommand from '#cli/bundle.js'
import * as bundleVerify from '#cli/bundle-verify.js'
import { chainPlaces, openChain } from '#cli/chain.js'
import * as hostCommand from '#cli/host.js'
import { createProgram } from '#cli/program.js'
import * as receiptCommand from '#cli/receipt.js'
import { readTrustFile } from '#cli/trust-store.js'
import * as verifyCommand from '#cli/verify.js'
import { fromBase64, fromUtf8 } from '#core/bytes/bytes.js'
import { canonicalJson } from '#core/encoding/json.js'
import { inferRequest, launch, type TestChain, testChain, testClient, testIo } from '#test/e2e/fixtures.js'

let one: TestChain
beforeAll(async () => {
  one = await testChain({ databaseUrl: null })
}, 120_000)
afterAll(async () => one?.chain.close())

describe('the chain, from a plain folder to a receipt that verifies offline', () => {
  test('a sealed request is answered rightly and its receipt verifies offline', async () => {
    const { client } = await testClient(one.chain)
    const answer = await client.request(inferRequest(one.width))
    expect(answer.status).toBe(200)
    const { outputs } = JSON.parse(fromUtf8(answer.body)) as { outputs: [{ data: number[]; shape: number[] }] }
    expect(outputs[0].shape).toEqual([1, one.width])
    const receipt = join(one.folder, 'receipt.json')
    await writeFile(receipt, canonicalJson(answer.file))

    const io = testIo()
    const args = { file: receipt, trust: one.chain.trustPath }
    expect(await receiptCommand.run(args, io)).toBe(3)
    expect(io.out()).toContain('SIMULATED: NOT HARDWARE')
    expect(await receiptCommand.run({ ...args, dangerousAllowSimulated: true, json: true }, testIo())).toBe(0)
    expect(await receiptCommand.run({ file: receipt }, io)).toBe(3)
    expect(io.out()).toContain('consistent, not verified')
  })

  test('the node verifies by its URL: 3 without the flag, 0 with it, and JSON says NOT HARDWARE', async () => {
    const args = { target: one.chain.node.url, trust: one.chain.trustPath, model: one.chain.model }
    expect(await verifyCommand.run(args, testIo())).toBe(3)
    const io = testIo()
    expect(await verifyCommand.run({ ...args, dangerousAllowSimulated: true, json: true }, io)).toBe(0)
    expect(JSON.parse(io.out())).toMatchObject({ verdict: 'SIMULATED: NOT HARDWARE', hardware: false, accepted: true })
  })

  test('a bundle of the release is judged again offline with the same outcome', async () => {
    const out = join(one.folder, 'bundle.json')
    const { keys } = chainPlaces(one.options.folder)
    const entry = one.chain.node.session.grant.index
    expect(await bundleCommand.run({ entry, broker: one.chain.stack.url, keys, out }, testIo())).toBe(0)
    const io = testIo()
    const args = { file: out, trust: one.chain.trustPath }
    expect(await bundleVerify.run({ ...args, dangerousAllowSimulated: true }, io)).toBe(0)
    expect(io.out()).toContain(`RELEASED as log entry #${entry}`)
    expect(await bundleVerify.run(args, testIo())).toBe(3)
    expect(await bundleVerify.run({ file: out }, testIo())).toBe(3)
  })

  test('an auditor with the trust file alone finds nothing in the log that convicts anybody', async () => {
    const state = join(one.folder, 'audit.jsonl')
    const io = testIo()
    expect(await auditCommand.run(one.chain.stack.url, { trust: one.chain.trustPath, state, json: true }, io)).toBe(0)
    const { judged, size, convictions } = JSON.parse(io.out())
    expect([judged, convictions]).toEqual([size, []])
    expect(size).toBeGreaterThan(5)
  })

  test('a host in another country reads which rule refused, and the denial stands in the log and verifies', async () => {
    const host = join(one.folder, 'us.json')
    const place = { country: 'US', operator: 'Acme Inc', operatorCountry: 'US' }
    expect(await hostCommand.run({ name: 'us-node', ...place, out: host }, testIo())).toBe(0)
    // A process of its own, as a host runs it: `run` closes its process and accepts no loader.
    const args = ['--model', one.chain.model, '--broker', one.chain.stack.url, '--sealed', one.chain.sealedPath]
    args.push('--trust', one.chain.trustPath, '--host-statement', host, '--dangerous-allow-simulated')
    args.push('--platform-state', chainPlaces(one.options.folder).platform)
    const { code, err } = await launch(['run', ...args])
    expect(code, err).toBe(3)
    expect(err).toContain('eu-place-and-seat-development')
    expect(err).toMatch(/found +context\.place\.country is "US"/)
    expect(err).toMatch(/remedy +Give the node a host statement/)
    const entry = Number(/log entry #([0-9]+)/.exec(err)?.[1])
    const out = join(one.folder, 'denial.json')
    const { keys } = chainPlaces(one.options.folder)
    expect(await bundleCommand.run({ entry, broker: one.chain.stack.url, keys, out }, testIo())).toBe(0)
    const verdict = testIo()
    const verify = { file: out, trust: one.chain.trustPath, dangerousAllowSimulated: true }
    expect(await bundleVerify.run(verify, verdict)).toBe(0)
    expect(verdict.out()).toContain('DENIED (eu-place-and-seat-development)')
  })

  test('an unsealed request is refused with the line that starts the proxy', async () => {
    const body = inferRequest(one.width).body as Uint8Array<ArrayBuffer>
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${one.chain.node.url}/v2/models/matmul/infer`, { method: 'POST', headers, body })
    expect(answer.status).toBe(400)
    const problem = (await answer.json()) as { code: string; detail: string }
    expect(problem.code).toBe('channel/unsealed')
    expect(problem.detail).toContain('./claviger proxy --node')
  })

  test('what was made before is used again', async () => {
    await one.chain.close()
    const before = await readFile(one.chain.trustPath)
    const again = await openChain(one.options)
    one = { ...one, chain: again }
    expect(await readFile(again.trustPath)).toEqual(before)
    const { client } = await testClient(again)
    expect((await client.request(inferRequest(one.width))).status).toBe(200)
  }, 120_000)

  test('other code is accepted anew: by a next version of the trust file and of what the owner signed', async () => {
    await one.chain.close()
    const versionOf = async () =>
      JSON.parse(fromUtf8(fromBase64((await readTrustFile(one.chain.trustPath)).trust.payload)))
    const before = await versionOf()
    await writeFile(chainPlaces(one.options.folder).registered, 'ff'.repeat(48))
    one = { ...one, chain: await openChain(one.options) }
    expect(await versionOf()).toMatchObject({ name: before.name, version: before.version + 1 })
    const { client } = await testClient(one.chain)
    expect((await client.request(inferRequest(one.width))).status).toBe(200)
  }, 120_000)

  test('a first start that did not come to its end is begun again', async () => {
    const folder = join(one.folder, 'broken')
    await mkdir(folder)
    await cp(chainPlaces(one.options.folder).platform, chainPlaces(folder).platform)
    const options = { ...one.options, folder }
    const nowhere = { ...options, databaseUrl: 'postgres://nobody@127.0.0.1:1/nothing' }
    await expect(openChain(nowhere)).rejects.toMatchObject({ code: 'database/unreachable' })
    const chain = await openChain(options)
    expect((await readdir(folder)).filter((name) => name.startsWith('services'))).toEqual(['services'])
    await chain.close()
  }, 120_000)
})

describe('the command line', () => {
  test('every command has help with an example', async () => {
    const program = await createProgram(testIo())
    expect(program.commands.length).toBeGreaterThan(14)
    // The word that a command is found by is the one that it answers to.
    for (const { name } of program.commands.map((one) => ({ name: one.name() })))
      expect((await createProgram(testIo(), name)).commands.map((one) => one.name())).toEqual([name])
    const leavesOf = (command: Command): Command[] =>
      command.commands.length > 0 ? command.commands.flatMap(leavesOf) : [command]
    for (const leaf of leavesOf(program)) {
      let help = ''
      leaf.configureOutput({
        writeOut: (text) => {
          help += text
        },
      })
      leaf.outputHelp()
      expect(help, leaf.name()).toMatch(/^Examples?:$/m)
    }
  })
})
