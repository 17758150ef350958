import { html, raw } from 'hono/html'
import type { Block, Line, Piece } from '#client/report/blocks.js'
import { toBase64, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { printable } from '#core/shown.js'

/* One file for a browser and a printer: it runs nothing, loads nothing and asks nobody. */

type Markup = ReturnType<typeof html>

const style = `:root{color-scheme:light dark;--text:light-dark(#16191d,#e9ecef);--quiet:light-dark(#4a525b,#b3bbc4);
--page:light-dark(#fff,#14171a);--panel:light-dark(#f2f4f6,#1f2429);--line:light-dark(#767f88,#7d8791);
--link:light-dark(#0a55a5,#8ec5ff);--open:light-dark(#7a4a00,#f3c567)}
*{box-sizing:border-box}
html{font:1rem/1.5 system-ui,sans-serif;color:var(--text);background:var(--page);overflow-wrap:anywhere}
body{max-width:76rem;margin:0 auto;padding:1rem}
h1,h2,h3,h4{line-height:1.25}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
code,pre{font-family:ui-monospace,monospace;font-size:.95em}
pre{padding:.75rem;background:var(--panel);white-space:pre-wrap}
.note{padding:.75rem 1rem;border-left:4px solid var(--open);background:var(--panel)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:1rem 0}
caption{text-align:left;font-weight:700;padding:.25rem 0}
th,td{border:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top;overflow-wrap:break-word}
.terms th{width:14rem;font-weight:400;color:var(--quiet);overflow-wrap:break-word}
.terms td{overflow-wrap:anywhere}
thead th{background:var(--panel)}
@media print{nav{display:none}:root{color-scheme:light}body{max-width:none;padding:0}.wide{overflow:visible}tr,pre,.note{break-inside:avoid}
h2,h3,h4{break-after:avoid}thead{display:table-header-group}}`

const policy = [
  "default-src 'none'",
  `style-src 'sha256-${toBase64(sha256(utf8(style)))}'`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

// What a stranger wrote is set apart, so that a right-to-left name turns nothing around it.
const text = (words: string): Markup => html`<bdi>${printable(words)}</bdi>`

function piece(one: Piece): Markup {
  if (typeof one === 'string') return html`${printable(one)}`
  if ('code' in one) return html`<code>${text(one.code)}</code>`
  if ('strong' in one) return html`<strong>${printable(one.strong)}</strong>`
  return html`<a href="${one.href}">${printable(one.link)}</a>`
}

const line = (all: Line): Markup => html`${all.map(piece)}`

function table(one: Extract<Block, { kind: 'table' }>, label: string): Markup {
  // Whoever has only a keyboard scrolls a wide table as a region.
  return html`<div class="wide" role="region" tabindex="0" aria-labelledby="${label}">
<table>
<caption id="${label}">${printable(one.caption)}</caption>
<thead><tr>${one.head.map((name) => html`<th scope="col">${printable(name)}</th>`)}</tr></thead>
<tbody>
${one.rows.map(
  (
    cells,
  ) => html`<tr>${cells.map((cell, i) => (i === 0 ? html`<th scope="row">${line(cell)}</th>` : html`<td>${line(cell)}</td>`))}</tr>
`,
)}</tbody>
</table>
</div>
`
}

function block(one: Block, index: number): Markup {
  switch (one.kind) {
    case 'heading': {
      const name = `h${one.level}`
      return html`${raw(`<${name}`)} id="${one.id}">${printable(one.text)}${raw(`</${name}>`)}
`
    }
    case 'paragraph':
      return html`<p>${line(one.line)}</p>
`
    case 'note':
      return html`<p class="note">${line(one.line)}</p>
`
    case 'list':
      return html`<ul>
${one.items.map(
  (item) => html`<li>${line(item)}</li>
`,
)}</ul>
`
    case 'terms':
      return html`<table class="terms">
<caption>${printable(one.caption)}</caption>
<tbody>
${one.rows.map(
  ([name, value]) => html`<tr><th scope="row">${printable(name)}</th><td>${line(value)}</td></tr>
`,
)}</tbody>
</table>
`
    case 'table':
      return table(one, `table-${index}`)
    case 'listing':
      return html`<pre><code>${one.text.split(/\r\n|\r|\n/).map((row, i) => html`${i === 0 ? '' : '\n'}${printable(row.replaceAll('\t', '  '))}`)}</code></pre>
`
  }
}

/** Where its parts begin, for whoever reads with a keyboard or by ear. */
function contents(blocks: readonly Block[]): Markup {
  const parts = blocks.flatMap((one) => (one.kind === 'heading' && one.level === 2 ? [one] : []))
  return html`<nav aria-label="Contents">
<ol>
${parts.map(
  ({ id, text: name }) => html`<li><a href="#${id}">${printable(name)}</a></li>
`,
)}</ol>
</nav>
`
}

/** The report as one HTML document. title: of the window */
export function toHtml(title: string, blocks: readonly Block[]): string {
  const first = blocks.findIndex((one) => one.kind === 'heading' && one.level === 2)
  return String(html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="content-security-policy" content="${policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${printable(title)}</title>
<style>${raw(style)}</style>
</head>
<body>
<main>
${blocks.slice(0, first).map(block)}${contents(blocks)}${blocks.slice(first).map((one, i) => block(one, first + i))}</main>
</body>
</html>
`)
}
