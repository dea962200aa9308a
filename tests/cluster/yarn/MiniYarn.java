import java.io.File;
import java.io.FileOutputStream;
import java.io.OutputStream;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.yarn.conf.YarnConfiguration;
import org.apache.hadoop.yarn.server.MiniYARNCluster;

/** A resource manager and two node managers in one process, until its standard input ends; writes the clients' configuration. */
public class MiniYarn {
  private static final String[] CLIENTS = {
    "yarn.resourcemanager.address", "yarn.resourcemanager.scheduler.address", "yarn.resourcemanager.webapp.address",
  };

  public static void main(String[] arguments) throws Exception {
    YarnConfiguration conf = new YarnConfiguration();
    conf.set("fs.defaultFS", "file:///");
    conf.set("yarn.scheduler.capacity.root.queues", "default");
    conf.set("yarn.scheduler.capacity.root.default.capacity", "100");
    conf.set("yarn.scheduler.capacity.maximum-am-resource-percent", "1.0");
    conf.setInt("yarn.scheduler.minimum-allocation-mb", 256);
    conf.setInt("yarn.nodemanager.resource.memory-mb", 4096);
    conf.setInt("yarn.nodemanager.resource.cpu-vcores", 4);
    // Python maps more address space than it uses, and this machine's disk may be fuller than a cluster's should be.
    conf.set("yarn.nodemanager.vmem-check-enabled", "false");
    conf.set("yarn.nodemanager.pmem-check-enabled", "false");
    conf.set("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", "100.0");
    // The logs of containers are read where they were written.
    conf.set("yarn.nodemanager.delete.debug-delay-sec", "3600");
    MiniYARNCluster cluster = new MiniYARNCluster("mini", 1, 2, 1, 1);
    cluster.init(conf);
    cluster.start();
    Configuration client = new Configuration(false);
    client.set("fs.defaultFS", "file:///");
    client.set("yarn.resourcemanager.hostname", "127.0.0.1");
    for (String name : CLIENTS) client.set(name, cluster.getConfig().get(name));
    File folder = new File(arguments[0]);
    folder.mkdirs();
    try (OutputStream file = new FileOutputStream(new File(folder, "yarn-site.xml"))) {
      client.writeXml(file);
    }
    System.out.println("READY");
    while (System.in.read() >= 0) { }
    cluster.stop();
    System.exit(0);
  }
}
