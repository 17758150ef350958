/**
 * The whole chain as a process of its own, for tests that look at it from outside or kill it. Its node may end: the
 * process, and with it broker and log, stays until it is asked to end. It is told once what to open: the only argument is
 * a JSON file with the options of openChain.
 */
import { readFileSync } from 'node:fs'
import { type ChainOptions, openChain } from '#cli/chain.js'
import type { Io } from '#cli/output.js'
import { announceReady } from '#host/process.js'

const io: Io = {
  isTerminal: false,
  stdout: () => undefined,
  stderr: (text) => void process.stderr.write(text),
  now: () => Math.floor(Date.now() / 1000),
  ask: async () => null,
  exit: () => undefined,
}
const options = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as Omit<ChainOptions, 'io'>
const chain = await openChain({ ...options, io })
void chain.node.ended.then(({ code, message }) => process.stderr.write(`node ended ${code} ${message}\n`))
const { stack, node, model, trustPath, sealedPath } = chain
announceReady(
  {
    brokerUrl: stack.url,
    nodeUrl: node.url,
    broker: stack.broker,
    logVkey: stack.logVkey,
    enginePid: node.enginePid,
    witnessPid: stack.witness.current()?.pid ?? 0,
    model,
    trustPath,
    sealedPath,
  },
  () => chain.close(),
)
