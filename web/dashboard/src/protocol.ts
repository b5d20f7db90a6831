/** The wire of /ws as web/protocol.py describes it, and the messages that the page reads (schemas/). */

export type Level = "NORMAL" | "WARNING" | "FAULT" | "UNAVAILABLE";
export type Light = "RED" | "YELLOW" | "GREEN" | "OFF";
export type Shield = "PROTECTED" | "DEGRADED" | "UNPROTECTED";

export interface Column {
  name: string;
  unit: string;
  mtconnect_type: string;
}

export interface Names {
  op: "names";
  topic: number;
  name: string;
  type: string;
  publisher: string;
  publisher_id: string;
  source: string;
  qos: string;
  columns: Column[] | null;
  units: Record<string, string>;
}

export interface User {
  name: string;
  roles: string[];
}

export interface Hello {
  op: "hello";
  domain: string;
  now_ns: number | bigint;
  simulated: boolean;
  user: User | null;
}

/** n, seq, publish_ns, the message */
export type Told = [number, number | bigint, number | bigint, Record<string, unknown>];
/** n, first_seq, last_seq, first_row, stamp_ns, period_ns, rows, columns, little-endian float32 row after row */
export type Rows = [
  number, number | bigint, number | bigint, number | bigint, number | bigint, number | bigint, number, number,
  Uint8Array,
];
/** n, first, last, why */
export type Gap = [number, number | bigint, number | bigint, string];

export interface Batch {
  op: "batch";
  now_ns: number | bigint;
  messages: Told[];
  signals: Rows[];
  gaps: Gap[];
}

export type FromHub =
  | Hello
  | Names
  | Batch
  | { op: "decimated"; topic: number; bin_rows: number }
  | { op: "dropped"; batches: number }
  | { op: "withdrawn"; topic: number; key: string | null }
  | { op: "error"; id: number | null; text: string }
  | { op: "pong"; n: number; now_ns: number | bigint }
  | { op: "sought"; at_ns: number | bigint }
  | ({ op: "position" } & Record<keyof Position, number | bigint | boolean>);

/** where the player of a recording is (web/play_words.py) */
export interface Position {
  at_ns: number;
  start_ns: number;
  end_ns: number;
  speed: number;
  paused: boolean;
  slipped_s: number;
}

export interface MachineState {
  stamp_ns: number;
  execution: string;
  controller_mode: string;
  emergency_stop: string;
  motion: string;
  program: string;
  block_number: number;
  block: string;
  tool_number: number;
  tool_serial: string;
  part_count: number;
  spindle_speed_commanded_rpm: number;
  feed_commanded_mm_min: number;
  feed_override_pct: number;
  run_id: string;
}

export interface SignalInfo {
  name: string;
  mtconnect_type: string;
  unit: string;
  source: string;
  /** below the machine: machine/samples or machine/vibration */
  topic: string;
}

export interface SourceStatus {
  name: string;
  driver: string;
  available: boolean;
  rate_hz: number;
  age_ms: number;
  lost_rows: number;
  trouble: string;
}

export interface MachineInfo {
  machine: string;
  model: string;
  simulated: boolean;
  can_feed_hold: boolean;
  can_stop: boolean;
  stop_path: string;
  last_stop_ms: number;
  sources: SourceStatus[];
}

export interface Protection {
  stamp_ns: number;
  state: Shield;
  mode: string;
  reasons: string[];
}

export interface Margin {
  task: string;
  signal: string;
  unit: string;
  value: number;
  limit: number;
  margin_pct: number;
}

export interface Assessment {
  stamp_ns: number;
  light: Light;
  reason: string;
  cutting_force_n: number;
  spindle_power_kw: number;
  model_load_pct: number;
  margins: Margin[];
}

export interface Intervention {
  stamp_ns: number;
  intervention_id: string;
  reaction: string;
  mode: string;
  would_have: boolean;
  task: string;
  signal: string;
  unit: string;
  value: number;
  limit: number;
  reason: string;
  program: string;
  block_number: number;
  tool_serial: string;
  run_id: string;
  age_ms: number;
}

export interface ReactionResult {
  stamp_ns: number;
  intervention_id: string;
  reaction: string;
  accepted: boolean;
  text: string;
  decision_to_accepted_ms: number;
}

export interface MotionEvent {
  stamp_ns: number;
  phase: string;
  action_id: string;
  travel_mm: number;
  text: string;
}

export interface Verdict {
  stamp_ns: number;
  intervention_id: string;
  intervention_ns: number;
  judgement: string;
  judged_by: string;
  reason: string;
}

/** an alarm as it stands between the machine and the people (ISA-18.2) */
export interface StandingAlarm {
  alarm_id: string;
  machine: string;
  level: Level;
  origin: string;
  native_code: string;
  text: string;
  raised_ns: number;
  stamp_ns: number;
  state: "UNACKNOWLEDGED" | "ACKNOWLEDGED" | "RETURNED" | "NORMAL";
  first_out: boolean;
  acknowledged_by: string;
  acknowledged_ns: number;
  /** the stamp in nanoseconds, exact */
  stamp_text?: string;
}

/** an alarm as whoever raised it says it */
export type Alarm = Pick<StandingAlarm, "alarm_id" | "level" | "origin" | "native_code" | "text" | "stamp_ns">;

/** the run that is on; an empty run_id: none is */
export interface JobRun {
  stamp_ns: number;
  run_id: string;
  program: string;
  spec: { job_id: string; operator_id: string };
  cycles: number;
  tools: { tool_number: number; tool_serial: string; cutting_s: number; wear_pct: number }[];
}

export interface TopicCount {
  topic: string;
  publisher: string;
  received: number;
  lost: number;
  dropped: number;
  expired: number;
  repaired: number;
  delay_p50_ms: number;
  delay_p99_ms: number;
}

export interface Diagnostics {
  stamp_ns: number;
  node: string;
  level: Level;
  findings: { code: string; level: Level; text: string; count: number }[];
  topics: TopicCount[];
  callbacks: number;
  callback_max_ms: number;
  queue_depth: number;
}

export interface ProcessStatus {
  name: string;
  nodes: string[];
  state: string;
  pid: number;
  restarts: number;
  last_exit: string;
  cpu_pct: number;
  pss_bytes: number;
  scheduling: string;
}

export interface LogRecord {
  stamp_ns: number;
  level: string;
  node: string;
  text: string;
}

export interface RecorderStatus {
  stamp_ns: number;
  path: string;
  size_bytes: number;
  messages: number;
  lost: number;
  rate_hz: number;
  duration_s: number;
  used_bytes: number;
  quota_bytes: number;
  paused: string;
}

export interface Topology {
  stamp_ns: number;
  components: { name: string; kind: string; level: Level; text: string }[];
  relations: { source: string; kind: string; target: string }[];
}

export interface BagSplit {
  stamp_ns: number;
  path: string;
  start_ns: number;
  end_ns: number;
  size_bytes: number;
  run_ids: string[];
  lost: number;
}
