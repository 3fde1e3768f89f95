// The filter of system calls, assembled as classic BPF. A deny list on top of namespaces: it takes away what only serves to
// get out of a sandbox. A call that is newer than this list answers ENOSYS, so that a new kernel opens nothing.

export type SeccompArch = "x64" | "arm64"

/** What a profile leaves of sockets and of process groups. */
export interface SeccompProfile {
  readonly arch: SeccompArch
  /** `private`: the sandbox has its own network. `none`: no socket at all, only pairs. */
  readonly sockets: "private" | "private-no-unix" | "none"
  /** True: a process can leave neither its session nor its group, so that killing the group ends everything. */
  readonly keepGroup: boolean
  /** True: no signal can be sent to another process. */
  readonly denySignals: boolean
}

/** System call numbers: x86-64, then arm64; null where there is none. */
const calls: Readonly<Record<string, readonly [number | null, number | null]>> = {
  unshare: [272, 97], setns: [308, 268], mount: [165, 40], umount2: [166, 39], pivot_root: [155, 41], chroot: [161, 51],
  open_tree: [428, 428], move_mount: [429, 429], fsopen: [430, 430], fsconfig: [431, 431], fsmount: [432, 432], fspick: [433, 433],
  mount_setattr: [442, 442], ptrace: [101, 117], process_vm_readv: [310, 270], process_vm_writev: [311, 271], kcmp: [312, 272],
  pidfd_getfd: [438, 438], process_madvise: [440, 440], process_mrelease: [448, 448], keyctl: [250, 219], add_key: [248, 217],
  request_key: [249, 218], bpf: [321, 280], perf_event_open: [298, 241], userfaultfd: [323, 282], kexec_load: [246, 104],
  kexec_file_load: [320, 294], init_module: [175, 105], finit_module: [313, 273], delete_module: [176, 106],
  open_by_handle_at: [304, 265], name_to_handle_at: [303, 264], syslog: [103, 116], reboot: [169, 142], swapon: [167, 224],
  swapoff: [168, 225], acct: [163, 89], quotactl: [179, 60], quotactl_fd: [443, 443], settimeofday: [164, 170],
  clock_settime: [227, 112], clock_adjtime: [305, 266], adjtimex: [159, 171], sethostname: [170, 161], setdomainname: [171, 162],
  ioperm: [173, null], iopl: [172, null], modify_ldt: [154, null], uselib: [134, null], ustat: [136, null], sysfs: [139, null],
  nfsservctl: [180, 42], lookup_dcookie: [212, 18], vhangup: [153, 58], fanotify_init: [300, 262], move_pages: [279, 239],
  migrate_pages: [256, 238],
}
/** Programs fall back to older calls when these are missing. */
const missing: Readonly<Record<string, readonly [number, number]>> = {
  clone3: [435, 435], io_uring_setup: [425, 425], io_uring_enter: [426, 426], io_uring_register: [427, 427], memfd_secret: [447, 447],
}
const checked = { clone: [56, 220], ioctl: [16, 29], socket: [41, 198], personality: [135, 92] } as const
const groups = { setsid: [112, 157], setpgid: [109, 154] } as const
const signals = { kill: [62, 129], tkill: [200, 130], tgkill: [234, 131], pidfd_send_signal: [424, 424], rt_sigqueueinfo: [129, 138], rt_tgsigqueueinfo: [297, 240] } as const
/** mseal; whatever comes after it is unknown here. */
const highestKnown = 462

const auditArch = { x64: 0xc000003e, arm64: 0xc00000b7 } as const
const x32Bit = 0x40000000
/** New mount, cgroup, uts, ipc, user, pid and network namespaces. */
const namespaceFlags = 0x7e020000
const errno = { EPERM: 1, ENOSYS: 38, EAFNOSUPPORT: 97 } as const

const ld = 0x20
const jeq = 0x15
const jge = 0x35
const jset = 0x45
const ret = 0x06
const allow = 0x7fff0000
const kill = 0x80000000
const fail = (code: keyof typeof errno): number => 0x00050000 | errno[code]

/** Offsets in struct seccomp_data. */
const nrAt = 0
const archAt = 4
const argLowAt = (index: number): number => 16 + index * 8

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number]

/** Null if this processor is not supported. */
export function seccompArch(arch: string): SeccompArch | null {
  return arch === "x64" || arch === "arm64" ? arch : null
}

/** The program in the form that `seccomp(2)` and bubblewrap take. */
export function seccompFilter(profile: SeccompProfile): Buffer {
  const column = profile.arch === "x64" ? 0 : 1
  const program: Instruction[] = [
    [ld, 0, 0, archAt],
    [jeq, 1, 0, auditArch[profile.arch]],
    [ret, 0, 0, kill],
    [ld, 0, 0, nrAt],
  ]
  if (profile.arch === "x64") program.push([jge, 0, 1, x32Bit], [ret, 0, 0, kill])
  const deny = (nr: number | null | undefined, code: keyof typeof errno): void => {
    if (typeof nr === "number") program.push([jeq, 0, 1, nr], [ret, 0, 0, fail(code)])
  }
  program.push([jge, 0, 1, highestKnown + 1], [ret, 0, 0, fail("ENOSYS")])
  for (const numbers of Object.values(calls)) deny(numbers[column], "EPERM")
  for (const numbers of Object.values(missing)) deny(numbers[column], "ENOSYS")
  if (profile.keepGroup) for (const numbers of Object.values(groups)) deny(numbers[column], "EPERM")
  if (profile.denySignals) for (const numbers of Object.values(signals)) deny(numbers[column], "EPERM")
  program.push(...withArguments(checked.clone[column], checkClone))
  program.push(...withArguments(checked.ioctl[column], checkIoctl))
  program.push(...withArguments(checked.personality[column], checkPersonality))
  if (profile.sockets === "none") deny(checked.socket[column], "EAFNOSUPPORT")
  else program.push(...withArguments(checked.socket[column], checkSocket(profile.sockets === "private")))
  program.push([ret, 0, 0, allow])
  return assemble(program)
}

/** Runs `checks`, each of which ends in a verdict, for one call; the number is still loaded for those that follow. */
function withArguments(nr: number, checks: readonly Instruction[]): readonly Instruction[] {
  return [[jeq, 0, checks.length, nr], ...checks]
}

const checkClone: readonly Instruction[] = [
  [ld, 0, 0, argLowAt(0)],
  [jset, 0, 1, namespaceFlags],
  [ret, 0, 0, fail("EPERM")],
  [ret, 0, 0, allow],
]

/** TIOCSTI types into the terminal of whoever started us, TIOCLINUX pastes into a console. */
const checkIoctl: readonly Instruction[] = [
  [ld, 0, 0, argLowAt(1)],
  [jeq, 1, 0, 0x5412],
  [jeq, 0, 1, 0x541c],
  [ret, 0, 0, fail("EPERM")],
  [ret, 0, 0, allow],
]

/** Only the usual personality and the question which one it is. */
const checkPersonality: readonly Instruction[] = [
  [ld, 0, 0, argLowAt(0)],
  [jeq, 1, 0, 0],
  [jeq, 0, 1, 0xffffffff],
  [ret, 0, 0, allow],
  [ret, 0, 0, fail("EPERM")],
]

/** Unix (1), IPv4 (2), IPv6 (10), and of netlink (16) only protocol 0, which lists network interfaces. */
function checkSocket(unix: boolean): readonly Instruction[] {
  return [
    [ld, 0, 0, argLowAt(0)],
    [jeq, 5, 0, 2],
    [jeq, 4, 0, 10],
    [jeq, unix ? 3 : 4, 0, 1],
    [jeq, 0, 3, 16],
    [ld, 0, 0, argLowAt(2)],
    [jeq, 0, 1, 0],
    [ret, 0, 0, allow],
    [ret, 0, 0, fail("EAFNOSUPPORT")],
  ]
}

function assemble(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8)
  program.forEach(([code, jumpTrue, jumpFalse, k], index) => {
    bytes.writeUInt16LE(code, index * 8)
    bytes.writeUInt8(jumpTrue, index * 8 + 2)
    bytes.writeUInt8(jumpFalse, index * 8 + 3)
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4)
  })
  return bytes
}
