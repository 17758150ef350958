import type { Child } from 'hono/jsx'

/** What a page needs of the place that serves it. */
export interface Served {
  /** version of this package */
  readonly version: string
  /** SHA-256 of the script that verifies, in hex, and the same as `integrity` writes it */
  readonly script: { readonly digest: string; readonly integrity: string }
}

interface PageProps {
  readonly title: string
  readonly path: string
  readonly served: Served
  /** whether it runs the script */
  readonly runs?: boolean
  readonly children?: Child
}

const places = [
  ['/', 'Verify evidence'],
  ['/checks', 'Checks'],
] as const

/** The frame of every page: nothing in it loads from elsewhere, and nothing is written in line that a browser would run. */
export function Page({ title, path, served, runs = false, children }: PageProps) {
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{`${title} - Claviger`}</title>
        <link rel="icon" href="/assets/icon.svg" type="image/svg+xml" />
        <link rel="stylesheet" href="/assets/style.css" />
        {runs ? <script type="module" src="/assets/verify.js" integrity={served.script.integrity} /> : null}
      </head>
      <body>
        <a class="to-content" href="#main">
          Skip to content
        </a>
        <header>
          <p class="name">Claviger console</p>
          <nav aria-label="Pages">
            <ul>
              {places.map(([href, name]) => (
                <li>
                  <a href={href} aria-current={href === path ? 'page' : undefined}>
                    {name}
                  </a>
                </li>
              ))}
            </ul>
          </nav>
        </header>
        <main id="main" tabindex={-1}>
          {children}
        </main>
        <footer>
          <p>
            Claviger {served.version}. The script that verifies, <code>/assets/verify.js</code>, has SHA-256{' '}
            <code class="hex">{served.script.digest}</code>. Compare it with{' '}
            <code>sha256sum dist/console/assets/verify.js</code> of a copy that you built.
          </p>
        </footer>
      </body>
    </html>
  )
}

/** A page as text. */
export async function documentOf(page: { toString(): string | Promise<string> }): Promise<string> {
  return `<!doctype html>${await page.toString()}`
}
