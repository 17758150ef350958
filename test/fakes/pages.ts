import { readFileSync, writeFileSync } from 'node:fs'

const fence = /^```json\n([\s\S]*?)^```/gm

/** Puts values in the place of the first JSON blocks of a page. */
export function writeBlocks(page: string, values: readonly unknown[]): void {
  const path = `docs/spec/${page}.md`
  let at = 0
  const text = readFileSync(path, 'utf8').replace(fence, (whole) =>
    at < values.length ? `\`\`\`json\n${JSON.stringify(values[at++], null, 2)}\n\`\`\`` : whole,
  )
  writeFileSync(path, text)
}
