import type { Report } from '#client/report/model.js'

/** What a name would do if it were more than text: in Markdown, in a table of it, in HTML, in a terminal. */
export const attacks = [
  '<script>document.title="x"</script><img src=x onerror=alert(1)>',
  'a | b \\| c \\\\| d',
  '`code` ``more`` ~~~',
  '[link](https://evil.example) ![image](https://evil.example/x.png) <https://evil.example>',
  'www.evil.example https://evil.example/a_b someone@evil.example mailto:someone@evil.example',
  '# heading **strong** __strong__ ~~gone~~ $x$ &lt; &copy;',
  '- item',
  '1. item',
  '\u202Eback\u2066\nsecond line\r\n\n# third\u0000\u001b[2J',
  '--> ]]> </td></table></pre></code> "quoted" \'quoted\'',
  '` ` `',
  '` <b>bold</b> `',
  '\\',
]

/** The words of others in a report. What is left out can be of one form only. */
const words = new Set([
  'name',
  'title',
  'law',
  'explain',
  'remedy',
  'text',
  'says',
  'where',
  'whom',
  'note',
  'message',
  'limits',
  'owner',
  'sources',
  'purpose',
  'cosigners',
  'controlledBy',
  'accepts',
  'splitAmong',
  'act',
  'origin',
])

/** The same report, in which whoever could choose a word chose this one. */
export function inTheWordsOf(report: Report, attack: string): Report {
  const walk = (value: unknown, name: string): unknown => {
    if (typeof value === 'string') return words.has(name) && !isAct(value) ? attack : value
    if (Array.isArray(value)) return value.map((one) => walk(one, name))
    if (value === null || typeof value !== 'object') return value
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, walk(one, key)]))
  }
  return walk(report, '') as Report
}

/** `act` of a decision is one of these, and that of a membership is a text. */
const isAct = (text: string) => ['release', 'renewal', 'denial', 'kbs'].includes(text)
