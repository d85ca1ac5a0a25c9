import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { arch } from './constants.ts';
import { codeOf, KernelError } from './errno.ts';
import { addressOf, call } from './libc.ts';
import { awaitStop, processIds } from './process.ts';

/*
 * A process whose system calls we make (ptrace(2)): what a program is started in is arranged from outside, with the
 * kernel's own answer to every step.
 */

const PTRACE_DETACH = 17;
const PTRACE_SYSCALL = 24;
const PTRACE_GETREGSET = 0x4204;
const PTRACE_SETREGSET = 0x4205;
const PTRACE_SEIZE = 0x4206;
const PTRACE_INTERRUPT = 0x4207;
const PTRACE_GET_SYSCALL_INFO = 0x420e;
const NT_PRSTATUS = 1;
const NT_ARM_SYSTEM_CALL = 0x404;
const O_TRACESYSGOOD = 1;
const O_EXITKILL = 0x100000;

const OP_ENTRY = 1;
const OP_EXIT = 2;
/** sizeof(struct ptrace_syscall_info). */
const SYSCALL_INFO_BYTES = 88;
/** More than any architecture's user_regs_struct. */
const REGSET_BYTES = 512;
/** Enough for most environments. */
const ROOM_BYTES = 65_536;
/** A stop that is neither entry nor exit is a signal, of which there are never many. */
const MAX_STOPS = 1_000;

const ESRCH = 3;

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;

export type TraceeCall = keyof ReturnType<typeof arch>['tracee']['calls'];

/**
 * A process that we have stopped in front of a system call, and whose calls we make in its place (Linux 5.3, for
 * PTRACE_GET_SYSCALL_INFO). It belongs to the thread that stopped it, and dies with it (PTRACE_O_EXITKILL). Every wait is
 * one for the process to reach its next system call, and is over before another line of JavaScript runs: libuv, which
 * takes any news of a child for its end (uv_spawn), hears of none.
 */
export class Tracee {
  readonly pid: number;
  /** Registers in front of the call that it was stopped at. */
  readonly #registers: Buffer;
  /** What is free of the memory that we made for ourselves there. */
  #room = { address: 0n, length: 0 };

  /**
   * Stops a process of ours that has one thread.
   *
   * @throws KernelError EPERM where another tracer has it, or we may not (PTRACE_MODE_ATTACH_REALCREDS); ESRCH where it has
   * ended
   */
  constructor(pid: number) {
    this.pid = pid;
    this.#seize();
    this.#ptrace('INTERRUPT', PTRACE_INTERRUPT, 0, 0);
    awaitStop(pid);
    this.#runTo(OP_ENTRY);
    this.#registers = this.#read(NT_PRSTATUS);
  }

  #seize(): void {
    try {
      this.#ptrace('SEIZE', PTRACE_SEIZE, 0, O_TRACESYSGOOD | O_EXITKILL);
    } catch (error) {
      // The kernel says so of one that nobody has reaped yet as well (ptrace_attach(), Linux 6.18).
      const hasEnded = codeOf(error) === 'EPERM' && processIds(this.pid)?.state === 'Z';
      throw hasEnded ? new KernelError('ptrace', ESRCH, `PTRACE_SEIZE, ${this.pid}`) : error;
    }
  }

  /**
   * Makes a system call in its place.
   *
   * @param shown what an error names in place of the raw arguments
   * @returns its result, which may be an address
   * @throws KernelError as the call fails there
   */
  call(name: TraceeCall, args: (number | bigint)[], shown?: string): bigint {
    const result = this.#run(name, args);
    this.#rewind();
    if (result < 0n) throw new KernelError(name, Number(-result), shown ?? args.join(', '));
    return result;
  }

  /** chdir(2). @throws KernelError */
  chdir(path: string): void {
    this.call('chdir', [this.place(Buffer.from(`${path}\0`))], path);
  }

  /**
   * Has it become another program (execve(2)), and lets it go.
   *
   * @param env a variable that is undefined is not there, as for child_process.spawn()
   * @throws KernelError as the call fails; it is ours then as before
   */
  execve(path: string, argv: readonly string[], env: NodeJS.ProcessEnv): void {
    const given = Object.entries(env).filter(([, value]) => value !== undefined);
    const variables = given.map(([name, value]) => `${name}=${value}`);
    const result = this.#run('execve', [
      this.place(Buffer.from(`${path}\0`)),
      this.#placeStrings(argv),
      this.#placeStrings(variables),
    ]);
    if (result < 0n) {
      this.#rewind();
      throw new KernelError('execve', Number(-result), path);
    }
    this.#ptrace('DETACH', PTRACE_DETACH, 0, 0);
  }

  /**
   * Puts bytes into its memory, where there is room until it becomes another program.
   *
   * @returns their address there
   * @throws KernelError ESRCH where it has ended
   */
  place(bytes: Buffer): bigint {
    const address = this.#allocate(bytes.length);
    const fd = openSync(`/proc/${this.pid}/mem`, 'r+');
    try {
      for (let written = 0; written < bytes.length; ) {
        // A position of bigint is not taken by writeSync(); addresses of user space fit into a number (47 or 48 bits).
        const more = writeSync(fd, bytes, written, bytes.length - written, Number(address) + written);
        // Its memory is gone: it has been killed since the file was opened (mem_rw(), Linux 6.18).
        if (more === 0) throw new KernelError('write', ESRCH, `/proc/${this.pid}/mem`);
        written += more;
      }
    } finally {
      closeSync(fd);
    }
    return address;
  }

  /** An array of strings as execve(2) takes it: their addresses, and a null. */
  #placeStrings(strings: readonly string[]): bigint {
    const bytes = strings.map(string => Buffer.from(`${string}\0`));
    let address = this.place(Buffer.concat(bytes));
    const pointers = new BigUint64Array(strings.length + 1);
    bytes.forEach(({ length }, index) => {
      pointers[index] = address;
      address += BigInt(length);
    });
    return this.place(Buffer.from(pointers.buffer));
  }

  #allocate(length: number): bigint {
    if (length > this.#room.length) {
      const fresh = Math.max(length, ROOM_BYTES);
      const address = this.call('mmap', [0, fresh, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0]);
      this.#room = { address, length: fresh };
    }
    const { address } = this.#room;
    const taken = length + (-length & 7); // what comes next may be numbers
    this.#room = { address: address + BigInt(taken), length: Math.max(0, this.#room.length - taken) };
    return address;
  }

  /** Whether it ignores a signal, which would stay so across execve(2). */
  ignoresSignals(): boolean {
    return !/^SigIgn:\s+0+$/m.test(readFileSync(`/proc/${this.pid}/status`, 'utf8'));
  }

  /** From in front of a call to behind another one, which takes its place. */
  #run(name: TraceeCall, args: (number | bigint)[]): bigint {
    const { registers, calls } = arch().tracee;
    const changed = Buffer.from(this.#registers);
    registers.arguments.forEach((at, index) => {
      changed.writeBigInt64LE(BigInt.asIntN(64, BigInt(args[index] ?? 0)), at * 8);
    });
    if (registers.call !== undefined) changed.writeBigInt64LE(BigInt(calls[name]), registers.call * 8);
    this.#write(NT_PRSTATUS, changed);
    if (registers.call === undefined) this.#write(NT_ARM_SYSTEM_CALL, Buffer.from(Int32Array.of(calls[name]).buffer));
    return this.#runTo(OP_EXIT);
  }

  /** Back in front of the call that it was stopped at. */
  #rewind(): void {
    const { registers, instructionBytes } = arch().tracee;
    const again = Buffer.from(this.#registers);
    const pc = again.readBigUInt64LE(registers.pc * 8);
    again.writeBigUInt64LE(pc - BigInt(instructionBytes), registers.pc * 8);
    if (registers.call !== undefined)
      again.copy(again, registers.result * 8, registers.call * 8, registers.call * 8 + 8);
    this.#write(NT_PRSTATUS, again);
    this.#runTo(OP_ENTRY);
  }

  /** @returns what the call answered, behind one */
  #runTo(op: typeof OP_ENTRY | typeof OP_EXIT): bigint {
    const info = Buffer.alloc(SYSCALL_INFO_BYTES);
    let signal = 0;
    for (let stops = 0; stops < MAX_STOPS; stops++) {
      this.#ptrace('SYSCALL', PTRACE_SYSCALL, 0, signal);
      const status = awaitStop(this.pid);
      this.#ptrace('GET_SYSCALL_INFO', PTRACE_GET_SYSCALL_INFO, info.length, addressOf(info));
      if (info[0] === op) return info.readBigInt64LE(24);
      // A signal is its own to take; a stop of the kernel's making (PTRACE_EVENT_STOP) has none.
      signal = info[0] === 0 && status >> 8 === 0 ? status : 0;
    }
    throw new Error(`pid ${this.pid} comes to no system call`);
  }

  #read(set: number): Buffer {
    const bytes = Buffer.alloc(REGSET_BYTES);
    const vector = ioVector(bytes);
    this.#ptrace('GETREGSET', PTRACE_GETREGSET, set, addressOf(vector));
    return bytes.subarray(0, Number(vector[1]));
  }

  #write(set: number, bytes: Buffer): void {
    this.#ptrace('SETREGSET', PTRACE_SETREGSET, set, addressOf(ioVector(bytes)));
  }

  #ptrace(shown: string, request: number, address: number, data: number | bigint): void {
    call('ptrace', [arch().SYS_ptrace, request, this.pid, address, data], `PTRACE_${shown}, ${this.pid}`);
  }
}

/** struct iovec. */
function ioVector(bytes: Buffer): BigUint64Array {
  return BigUint64Array.of(addressOf(bytes), BigInt(bytes.length));
}
