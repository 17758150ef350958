// Compiles the package to dist/, copies what tsc does not (SQL migrations, policy documents, styles), and bundles what the
// console's pages run in the browser.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'

const root = new URL('../..', import.meta.url).pathname
const tsc = join(root, 'node_modules/typescript/bin/tsc')
if (!existsSync(tsc)) process.exit(0) // a production install has no compiler and ships dist/
const result = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' })
if (result.status !== 0) process.exit(result.status ?? 1)

const copied = /\.(sql|json|cedar|cedarschema|pem|wav|css|svg)$/
const folders = [
  'core',
  'policies',
  'attest',
  'keybroker',
  'runtime',
  'convert',
  'client',
  'transparency',
  'landmark',
  'console',
  'host',
  'cli',
]
function copy(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) copy(path)
    else if (copied.test(name)) {
      const target = join(root, 'dist', path.slice(root.length))
      mkdirSync(dirname(target), { recursive: true })
      cpSync(path, target)
    }
  }
}
for (const folder of folders) if (existsSync(join(root, folder))) copy(join(root, folder))

// One file for browsers, from the sources themselves, with nothing left to import. It stays as readable as they are: whoever
// doubts the page can read what it runs.
const { build } = await import('vite')
await build({
  root,
  configFile: false,
  logLevel: 'error',
  publicDir: false,
  // The same bytes wherever it is built: a reader compares their digest with that of a copy.
  resolve: { conditions: ['browser', 'source'], preserveSymlinks: true },
  build: {
    outDir: join(root, 'dist/console/assets'),
    emptyOutDir: false,
    copyPublicDir: false,
    minify: false,
    target: 'es2023',
    lib: { entry: join(root, 'console/islands/verify.ts'), formats: ['es'], fileName: () => 'verify.js' },
  },
})
