import { readdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { renderCard } from '#cli/card.js'
import { type Chain, chainLockName, lockChain, openChain, timed } from '#cli/chain.js'
import { nodeClientOptions } from '#cli/client-options.js'
import { clientPolicy } from '#cli/client-policy.js'
import { showControl } from '#cli/demo-control.js'
import { readInput } from '#cli/input.js'
import { bringModel } from '#cli/model.js'
import { exitCodes, formatDuration, type Io, paint, shellWord } from '#cli/output.js'
import { stateFolder } from '#cli/places.js'
import * as receiptCommand from '#cli/receipt.js'
import { loadTrust } from '#cli/trust-store.js'
import { answerCard } from '#client/card.js'
import { createFetch } from '#client/create-fetch.js'
import type { VerifiedAnswer } from '#client/node-client.js'
import { canonicalJson } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { requestSizeMax } from '#core/limits.js'
import { writeFileDurably } from '#host/files.js'
import type { FolderLock } from '#host/folder-lock.js'
import { packageRoot } from '#host/process.js'
import { closeProcess } from '#runtime/engine/closed.js'

/** Failures of the demo. */
export type DemoCode =
  | 'demo/answer'
  /** the folder holds something else than a demo, and would be emptied */
  | 'demo/folder'

export interface DemoArguments {
  /** where the demo keeps its files; emptied at the start */
  readonly folder?: string | undefined
  readonly audio?: string | undefined
}

/** The recording that ships with the package. */
export const speechPath = () => join(packageRoot(), 'cli/assets/ask-not.wav')

/** Sends a recording through the sealed channel, as an OpenAI client would, and returns the text with its receipt. */
async function transcribe(chain: Chain, audio: Uint8Array<ArrayBuffer>, io: Io) {
  const { trust } = await loadTrust(chain.trustPath, io.now(), join(chain.trustPath, '../trust-memory.json'))
  const policy = clientPolicy({ model: chain.model, countries: 'DE', dangerousAllowSimulated: true }, trust)
  const answers: VerifiedAnswer[] = []
  const sealedFetch = createFetch({
    ...nodeClientOptions(chain.node.url, trust, policy, null, io),
    onAnswer: (answer) => void answers.push(answer),
  })
  const form = new FormData()
  form.set('model', policy.model.slice(44))
  form.set('file', new Blob([audio], { type: 'audio/wav' }), 'speech.wav')
  const response = await sealedFetch('https://node.invalid/v1/audio/transcriptions', { method: 'POST', body: form })
  const body = (await response.json()) as { readonly text?: unknown }
  const [answer] = answers
  if (response.status !== 200 || typeof body.text !== 'string' || answer === undefined) {
    throw new Failure<DemoCode>(
      'demo/answer',
      `node answered with status ${response.status}: ${JSON.stringify(body).slice(0, 500)}`,
    )
  }
  return { text: body.text, answer, trust }
}

/** What the owner calls its model. */
const modelName = 'moonshine'

/** Says that a folder is a demo's, and may be emptied by the next one. */
const markName = '.demo'

/**
 * The folder is this process's and holds nothing but the mark. One that holds something else than a demo stays.
 *
 * throws  demo/folder, chain/in-use
 */
async function takeEmpty(folder: string, isOurs: boolean): Promise<FolderLock> {
  const found: readonly string[] = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  if (found.length > 0 && !isOurs && !found.includes(markName)) {
    throw new Failure<DemoCode>('demo/folder', `${folder} holds no demo, and a demo begins by emptying its folder`, {
      detail: { hint: 'name a folder that is new or empty' },
    })
  }
  const lock = await lockChain(folder)
  try {
    await writeFile(join(folder, markName), '')
    for (const name of await readdir(folder)) {
      if (name !== markName && !name.startsWith(chainLockName))
        await rm(join(folder, name), { recursive: true, force: true })
    }
    return lock
  } catch (error) {
    lock.release()
    throw error
  }
}

/** Runs the whole chain once on this machine, with a real model, and ends with the answer card. */
export async function run(args: DemoArguments, io: Io): Promise<number> {
  const audio = new Uint8Array(await readInput(args.audio ?? speechPath(), 'recording', requestSizeMax))
  const folder = resolve(args.folder ?? join(stateFolder(), 'demo'))
  io.stderr(`${paint(io, 'magenta', 'NOT HARDWARE: the machine in this demo is simulated; all else is real')}\n`)
  const lock = await takeEmpty(folder, args.folder === undefined)
  let model: string
  try {
    const told = (found: { readonly cached: boolean }) =>
      found.cached ? 'model was in the cache' : 'model was fetched into the cache'
    const found = await timed(io, told, async () => {
      const brought = await bringModel()
      return [brought, brought.folder]
    })
    model = found.folder
  } catch (error) {
    lock.release()
    throw error
  }
  const start = performance.now()
  const chain = await openChain({
    folder,
    lock,
    modelFolder: model,
    modelName,
    databaseUrl: null,
    brokerPort: 0,
    nodePort: 0,
    leaseSeconds: 300,
    dangerousAllowInspection: false,
    io,
  })
  const receiptPath = join(folder, 'receipt.json')
  const asked = async () => {
    try {
      const found = await timed(io, 'client verifies the node, asks sealed, verifies the receipt', async () => [
        await transcribe(chain, audio, io),
        chain.node.url,
      ])
      io.stderr(`first verified answer after ${formatDuration(performance.now() - start)}\n`)
      await writeFileDurably(receiptPath, canonicalJson(found.answer.file), { mode: 0o600 })
      const control = await showControl(chain, { folder, modelFolder: model, model: modelName }, io)
      return { ...found, control }
    } finally {
      await chain.close()
    }
  }
  // Nothing of the chain runs any more when the card is shown, and its receipt is verified once again.
  const { text, answer, trust, control } = await asked()
  io.stderr('\n')
  io.stdout(`${paint(io, 'bold', text)}\n\n${renderCard(answerCard(answer.receipt, trust), io)}`)
  io.stdout(`\n${control}`)
  const verify = `./claviger receipt verify ${shellWord(receiptPath)} --trust ${shellWord(chain.trustPath)} --dangerous-allow-simulated`
  io.stdout(
    `\nThe demo made your trust file: ${chain.trustPath}\nRepeat the check offline, whenever you like:\n  ${verify}\n`,
  )
  return repeat(receiptPath, chain.trustPath, io)
}

/** The printed command, run once here: a card that the check does not repeat is not shown as good. */
async function repeat(file: string, trust: string, io: Io): Promise<number> {
  const quiet: Io = { ...io, stdout: () => undefined, stderr: () => undefined }
  const code = await receiptCommand.run({ file, trust, dangerousAllowSimulated: true }, quiet)
  io.stdout(code === exitCodes.ok ? 'The receipt verifies offline.\n' : 'The receipt does NOT verify offline.\n')
  return code
}

export function describe(program: Command, io: Io): void {
  program
    .command('demo')
    .description(
      'the whole chain once on this machine: seal, attest, decide, log, release, infer, verify (NOT HARDWARE)',
    )
    .option('--folder <folder>', 'where to keep its files; one of an earlier demo is emptied at the start')
    .option('--audio <file>', 'another recording: WAV, PCM of 16 bits')
    .addHelpText('after', '\nExample:\n  npm run demo')
    .action(async (args: DemoArguments) => {
      closeProcess({ dangerousAllowInspection: false, endWithParent: false })
      io.exit(await run(args, io))
    })
}
