/**
 * What belongs in console/islands: what the console's pages run in the browser. It reads a form, calls the pure functions
 * beside it, and writes elements; it sends nothing anywhere, and keeps nothing.
 */
import { byId } from '#console/islands/element.js'
import { readForm, takeDrops } from '#console/islands/form.js'
import { showJudged, showRefused, showTrouble } from '#console/islands/show.js'
import { judgeForm } from '#console/judge.js'
import { isFailure } from '#core/failure.js'

/**
 * Cryptography of browsers is there on https and on loopback alone; without it nothing is judged.
 *
 * source  W3C Web Cryptography API, "The SubtleCrypto interface"
 */
function showInsecure(): void {
  showTrouble({
    code: 'browser/insecure',
    message: 'this browser verifies signatures only on pages of https or of this machine',
    detail: { hint: 'open the console on the machine that serves it, or put https in front of it' },
  })
}

async function verify(): Promise<void> {
  if (!globalThis.isSecureContext) return showInsecure()
  try {
    const form = await readForm()
    const verdict = await judgeForm(form, Math.floor(Date.now() / 1000))
    if ('refused' in verdict) showRefused(verdict.refused)
    else showJudged(form, verdict)
  } catch (error) {
    if (isFailure(error)) showTrouble(error)
    // A bug, or a file that the browser could not read any more: no verdict either way.
    else showTrouble({ code: 'browser/error', message: String(error), detail: undefined })
  }
}

const form = byId('verify', HTMLFormElement)
const button = form.querySelector('button')!
takeDrops()
form.addEventListener('submit', (event) => {
  event.preventDefault()
  button.disabled = true
  void verify().finally(() => {
    button.disabled = false
  })
})
if (!globalThis.isSecureContext) showInsecure()
