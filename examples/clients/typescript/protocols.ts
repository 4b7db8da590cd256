// SPDX-License-Identifier: ISC
// What goes over the wire, as far as a client must know it. Members may be added: ignore what you do not know.

// ---- session, as an admin ----
export interface Machine {
  machineId: string;
  userId: string;
  name: string;
  ip: string | number | null;
  ram: string | number | null;
  cpu: string | number | null;
  hostname: string | null;
  os: string | null;
  status: "online" | "offline";
  connectedAt: number; // Unix ms
  lastSeen: number;
  metrics: Record<string, Record<string, unknown>> | null;
}
export type FromSession =
  | { type: "auth_success"; sessionToken: string; message: string; userId: string; expiresIn: number }
  | { type: "auth_failed" | "admin_failed"; code: string; message: string; retryable?: boolean; retryAfter?: number }
  | { type: "error"; code: string; message: string; refType?: string; retryAfter?: number }
  | { type: "admin_success"; message: string }
  | { type: "machine_list"; machines: Machine[] }
  | { type: "machine_update"; event: "online" | "info" | "heartbeat" | "data" | "offline" | "deleted"; machine: Machine }
  | { type: "ping" };
export type ToSession =
  | { type: "auth"; apiKey: string; scope: "admin" }
  | { type: "admin_connect"; token: string }
  | { type: "machine_list" }
  | { type: "pong" };

// ---- server-status ----
export interface Report {
  serverId: string;
  serverName: string;
  group?: string;
  cpu: { percent: number; cores: number; modelName: string };
  memory: { total: number; used: number; available: number; usedPercent: number };
  disk: { path: string; total: number; used: number; free: number; usedPercent: number; readSpeed: number; writeSpeed: number }[];
  network: { interfaceName: string; bytesSent: number; bytesRecv: number; inSpeed: number; outSpeed: number };
  system: { hostname: string; os: string; platform: string; arch: string; kernel: string; uptime: number };
  timestamp: number; // Unix seconds
}

// ---- relay ----
export type FromRelay =
  | { type: "message"; data: unknown; timestamp: number } // mode JSON
  | { type: "identified"; deviceId: string; customName: string }
  | { type: "control"; commandId: string; deviceId: string; command: string; params: Record<string, unknown>; timestamp: number }
  | { type: "system"; level: "error"; message: string; timestamp: number };
export type ToRelay =
  | { type: "identify"; deviceId: string; deviceName?: string }
  | { type: "control_ack"; commandId: string; status: "success" | "failed"; message?: string }
  | { type: "data"; data: Record<string, unknown>; timestamp?: number };
