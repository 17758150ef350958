import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '#core/failure.js'
import { packageRoot } from '#host/process.js'

/** Failures of serving the console. */
export type ConsoleServiceCode =
  /** the package was not built, or not all of it was installed */
  'console/not-built'

/** What a browser may load, by its name; everything else is in the pages. */
const mediaTypes = {
  'verify.js': 'text/javascript; charset=utf-8',
  'style.css': 'text/css; charset=utf-8',
  'icon.svg': 'image/svg+xml',
} as const

type AssetName = keyof typeof mediaTypes

export interface Asset {
  readonly mediaType: string
  readonly body: Uint8Array<ArrayBuffer>
}

export type Assets = Readonly<Record<AssetName, Asset>>

/** Read once, when the console starts: what it serves is what it has hashed. @throws console/not-built */
export async function loadAssets(folder = join(packageRoot(), 'dist/console/assets')): Promise<Assets> {
  const load = async (name: AssetName): Promise<Asset> => {
    try {
      return { mediaType: mediaTypes[name], body: new Uint8Array(await readFile(join(folder, name))) }
    } catch (cause) {
      throw new Failure<ConsoleServiceCode>('console/not-built', `${join(folder, name)} is not there`, {
        cause,
        detail: { hint: 'build the package: npm run build' },
      })
    }
  }
  const [script, style, icon] = await Promise.all([load('verify.js'), load('style.css'), load('icon.svg')])
  return { 'verify.js': script, 'style.css': style, 'icon.svg': icon }
}

/** The digest of a script in hex, and as the attribute `integrity` writes it. source: W3C Subresource Integrity, "Integrity metadata" */
export function digestOf({ body }: Asset): { readonly digest: string; readonly integrity: string } {
  const hash = createHash('sha256').update(body).digest()
  return { digest: hash.toString('hex'), integrity: `sha256-${hash.toString('base64')}` }
}
