import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

@Controller()
class Answers {
  @Get('slow')
  async slow(): Promise<string> {
    await new Promise(resolve => setTimeout(resolve, 300));
    return this.any();
  }

  @Get('*path')
  any(): string {
    return `${process.env.RELISTEN_GENERATION}`;
  }
}

@Module({ controllers: [Answers] })
class App {}

async function main(): Promise<void> {
  const app = await NestFactory.create(App, { logger: false });
  app.enableShutdownHooks();
  // Node's 5 s are over before a slow machine has started the next one.
  app.getHttpServer().keepAliveTimeout = 60_000;
  await app.listen(process.env.PORT ?? 0);
}

main();
