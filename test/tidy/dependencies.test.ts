import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
  allowScripts: Record<string, boolean>
}
const page = readFileSync(join(root, 'docs/decisions/dependencies.md'), 'utf8')

/** Names in the first column of a section's table. */
function named(section: string): readonly string[] {
  const text = page.split(/^## /m).find((one) => one.startsWith(section)) ?? ''
  const rows = text.split('\n').filter((line) => line.startsWith('| `'))
  return rows.flatMap((row) => [...row.split('|')[1]!.matchAll(/`([^`]+)`/g)].map((found) => found[1]!)).toSorted()
}

describe('tidy: dependencies', () => {
  test('each has its reason in docs/decisions/dependencies.md', () => {
    expect(named('Of the product')).toEqual(Object.keys(manifest.dependencies).toSorted())
    expect(named('Of development')).toEqual(Object.keys(manifest.devDependencies).toSorted())
  })

  test('each is pinned exactly', () => {
    const all = { ...manifest.dependencies, ...manifest.devDependencies }
    expect(Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
  })

  test('none runs a script of its own when it is installed', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { hasInstallScript?: boolean; optional?: boolean }>
    }
    const scripted = Object.entries(lock.packages).filter(([, { hasInstallScript }]) => hasInstallScript)
    const names = scripted.map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length))
    expect(names).toContain('onnxruntime-node')
    expect(manifest.allowScripts).toEqual(Object.fromEntries(names.map((name) => [name, false])))
    // npm 10 does not read allowScripts.
    expect(readFileSync(join(root, '.npmrc'), 'utf8').split('\n')).toContain('onnxruntime-node-install=skip')
  })
})
