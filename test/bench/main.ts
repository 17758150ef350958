import { readdirSync } from 'node:fs'

/** `npm run bench -- NAME [args]`: runs one of the programs beside this file. */
interface Bench {
  run(args: readonly string[]): Promise<void>
}

/** What other programs here start or import: no benches of their own. */
const parts = ['main.js', 'compare.js', 'load-once.js', 'decrypt-worker.js', 'verify-cases.js']
const names = readdirSync(new URL('.', import.meta.url))
  .filter((file) => file.endsWith('.js') && !parts.includes(file))
  .map((file) => file.slice(0, -3))

const [name, ...args] = process.argv.slice(2)
if (name === undefined || !names.includes(name)) {
  process.stderr.write(`usage: npm run bench -- NAME [args]\nnames: ${names.join(', ')}\n`)
  process.exit(2)
}
const bench = (await import(`./${name}.js`)) as Bench
await bench.run(args)
