import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const gateway = process.env.MILLSTREAM ?? "http://127.0.0.1:8090";

export default defineConfig({
  plugins: [react()],
  server: { proxy: { "/api": gateway, "/agui": gateway, "/mcp": gateway } },
});
