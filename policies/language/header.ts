import { scanPolicies } from '#policies/language/scan.js'

/** What the author of a policy says of it in the comment above its first rule: words for people, by which nothing is decided. */
export interface PolicyHeader {
  readonly title: string
  /** paragraphs below the title that say what it allows */
  readonly purpose: readonly string[]
  /** `Honest limits: …`; null where the author names none */
  readonly limits: string | null
  /** `Owner: …`: who answers for it, and when it is to be read again */
  readonly owner: string | null
  /** `Sources: …` */
  readonly sources: string | null
}

const labels = [
  [/^Honest limits?: */, 'limits'],
  [/^Owner: */, 'owner'],
  [/^Sources?: */, 'sources'],
] as const

/**
 * The header of a policy text; null where no comment stands above the first rule. A paragraph ends at an empty line; one without a
 * label goes on with what the one above it says.
 *
 * throws  policy/limit, policy/syntax
 */
export function headerOf(text: string): PolicyHeader | null {
  const [title, ...rest] = paragraphsOf(text.slice(0, scanPolicies(text)[0]?.start ?? text.length))
  if (title === undefined) return null
  const purpose: string[] = []
  const said = new Map<'limits' | 'owner' | 'sources', string[]>()
  let into = purpose
  for (const paragraph of rest) {
    const [label, name] = labels.find(([form]) => form.test(paragraph)) ?? []
    if (label !== undefined && name !== undefined) said.set(name, (into = said.get(name) ?? []))
    into.push(label === undefined ? paragraph : paragraph.replace(label, ''))
  }
  const of = (name: 'limits' | 'owner' | 'sources') => said.get(name)?.join(' ') ?? null
  return { title, purpose, limits: of('limits'), owner: of('owner'), sources: of('sources') }
}

/** Comment lines, joined as far as no empty line parts them. */
function paragraphsOf(head: string): readonly string[] {
  const lines = head.split(/\r\n|\r|\n/).map((line) =>
    line
      .trim()
      .replace(/^\/\/+/, '')
      .trim(),
  )
  const paragraphs: string[][] = [[]]
  for (const line of lines) {
    if (line !== '') paragraphs.at(-1)!.push(line)
    else if (paragraphs.at(-1)!.length > 0) paragraphs.push([])
  }
  return paragraphs.filter((one) => one.length > 0).map((one) => one.join(' '))
}
