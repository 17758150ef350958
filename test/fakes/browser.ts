import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'

/* A headless Chromium with one page, driven through its own protocol over two pipes: no port, no package. */

type Message = {
  readonly id?: number
  readonly method?: string
  readonly params?: Record<string, unknown>
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}
type Answers = Map<number, { resolve(result: Record<string, unknown>): void; reject(error: Error): void }>

export interface Page {
  /** what the page asked for since it was opened, by address, in order */
  readonly requests: readonly string[]
  /** exceptions nobody caught, refusals by the page's policy, errors that it logged */
  readonly complaints: string[]
  send(method: string, params?: Record<string, unknown>): Promise<Record<string, unknown>>
  /** the value of an expression in the page, its promise awaited */
  evaluate<T>(expression: string): Promise<T>
  /** returns when the page has loaded */
  open(url: string): Promise<void>
  /** puts files of this machine into a field, as choosing them does */
  choose(id: string, paths: readonly string[]): Promise<void>
  /** one key, pressed and let go */
  press(key: 'Tab' | 'Enter' | ' '): Promise<void>
  close(): Promise<void>
}

/** A name of this machine that browsers do not hold to be this machine. */
export const farName = 'console.example'

const flags = [
  `--host-resolver-rules=MAP ${farName} 127.0.0.1`,
  '--headless=new',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
]

/** Messages end with a zero byte. */
function receive(stream: Readable, take: (message: Message) => void): void {
  let rest = ''
  stream.setEncoding('utf8').on('data', (piece: string) => {
    const parts = (rest + piece).split('\0')
    rest = parts.pop()!
    for (const part of parts) take(JSON.parse(part) as Message)
  })
}

const textOf = (value: unknown) => JSON.stringify(value).slice(0, 2000)

/** What of an event is a complaint; null where it is none. */
function complaintOf({ method, params }: Message): string | null {
  if (method === 'Runtime.exceptionThrown') return textOf(params)
  const entry = params?.entry as { readonly level?: string; readonly text?: string } | undefined
  return method === 'Log.entryAdded' && entry?.level === 'error' ? `${entry.text}` : null
}

interface Pipe {
  readonly requests: string[]
  readonly complaints: string[]
  send(method: string, params: Record<string, unknown>, sessionId?: string): Promise<Record<string, unknown>>
  once(method: string): Promise<void>
}

function pipeTo(browser: ChildProcess): Pipe {
  const waiting: Answers = new Map()
  const events = new Map<string, () => void>()
  const [requests, complaints]: [string[], string[]] = [[], []]
  receive(browser.stdio[4] as Readable, (message) => {
    const { id, method, params, result, error } = message
    if (id !== undefined) {
      const one = waiting.get(id)
      waiting.delete(id)
      if (error) one?.reject(new Error(error.message))
      else one?.resolve(result ?? {})
    }
    if (method === 'Network.requestWillBeSent') requests.push((params as { request: { url: string } }).request.url)
    const complaint = complaintOf(message)
    if (complaint !== null) complaints.push(complaint)
    if (method !== undefined) events.get(method)?.()
  })
  browser.on('exit', (code) => {
    for (const { reject } of waiting.values()) reject(new Error(`the browser ended with ${code}`))
  })
  let last = 0
  return {
    requests,
    complaints,
    send: (method, params, sessionId) =>
      new Promise((resolve, reject) => {
        const id = ++last
        waiting.set(id, { resolve, reject })
        const to = sessionId === undefined ? {} : { sessionId }
        ;(browser.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, ...to })}\0`)
      }),
    once: (method) =>
      new Promise((resolve) => {
        events.set(method, () => {
          events.delete(method)
          resolve()
        })
      }),
  }
}

const keyCodes = { Tab: 9, Enter: 13, ' ': 32 } as const
const keyTexts = { Tab: '', Enter: '\r', ' ': ' ' } as const

/** An empty page in a browser that keeps nothing. */
export async function openPage(program: string): Promise<Page> {
  const profile = mkdtempSync(join(tmpdir(), 'claviger-browser-'))
  const browser = spawn(program, [...flags, '--remote-debugging-pipe', `--user-data-dir=${profile}`], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    detached: true, // a group of its own: what it started writes into the profile, and ends with it
  })
  const ended = new Promise<void>((done) => browser.on('exit', () => done()))
  const pipe = pipeTo(browser)
  const { targetId } = await pipe.send('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = await pipe.send('Target.attachToTarget', { targetId, flatten: true })
  const send = (method: string, params: Record<string, unknown> = {}) => pipe.send(method, params, sessionId as string)
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await send(`${domain}.enable`)

  const run = async (expression: string, returnByValue: boolean) => {
    const how = { awaitPromise: true, returnByValue, allowUnsafeEvalBlockedByCSP: false }
    const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, ...how })
    if (exceptionDetails !== undefined) throw new Error(textOf(exceptionDetails))
    return result as { readonly value?: unknown; readonly objectId?: string }
  }
  return {
    requests: pipe.requests,
    complaints: pipe.complaints,
    send,
    evaluate: async <T>(expression: string) => (await run(expression, true)).value as T,
    async open(url) {
      const loaded = pipe.once('Page.loadEventFired')
      await send('Page.navigate', { url })
      await loaded
    },
    async choose(id, paths) {
      const { objectId } = await run(`document.getElementById(${JSON.stringify(id)})`, false)
      await send('DOM.setFileInputFiles', { objectId, files: paths })
    },
    async press(key) {
      const event = { key, code: key === ' ' ? 'Space' : key, windowsVirtualKeyCode: keyCodes[key] }
      await send('Input.dispatchKeyEvent', { type: 'keyDown', ...event, text: keyTexts[key] })
      await send('Input.dispatchKeyEvent', { type: 'keyUp', ...event })
    },
    async close() {
      process.kill(-browser.pid!, 'SIGKILL')
      await ended
      await rm(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    },
  }
}
