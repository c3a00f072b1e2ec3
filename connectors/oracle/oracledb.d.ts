declare module 'oracledb' {
  const driver: import('./driver.ts').OracleDriver;
  export default driver;
}
